import type { RoomClient, RoomError, RoomEvent, RoomOptions, State, Status } from "./room-client.js";

export interface RoomView {
  status: Status;
  /** In the form of `GET /protocols/{id}/state`; null until the first one has come. */
  state: State | null;
  error: RoomError | null;
  /** The time, in milliseconds since 1970, since which `state` may be out of date; null while it is live. */
  staleSince: number | null;
  transport: "socket.io" | "stream" | null;
}

type WithoutProtocol<Options> = Options extends unknown ? Omit<Options, "protocolId"> & { protocolId?: string | null } : never;
export type UseRoomOptions = WithoutProtocol<RoomOptions> & {
  /** Called once with every event of the room. */
  onEvent?: (event: RoomEvent, room: RoomClient) => void;
};

/** A protocol's room as a hook of React, or of Preact where `react` stands for `preact/compat`. */
export declare function useRoom(options: UseRoomOptions): RoomView;
