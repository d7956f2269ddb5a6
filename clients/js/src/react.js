import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { RoomClient, Status } from "./room-client.js";

const NOTHING_YET = Object.freeze({ status: Status.CONNECTING, state: null, error: null, staleSince: null, transport: null });

/**
 * A protocol's room as a hook of React, or of Preact where `react` stands for `preact/compat`:
 *
 *   const { status, state, error, staleSince, transport } = useRoom({ io, token, protocolId, baseUrl });
 *
 * It takes the options of RoomClient. `state` has the form of `GET /protocols/{id}/state`, and is null until the first one
 * has come. The room is left and another one entered when `protocolId`, `baseUrl`, `io`, `transport` or `agentBatches`
 * changes; a new `token` is passed on to the room. Without a `protocolId` there is no connection.
 */
export function useRoom(options) {
  const { io, transport, protocolId, baseUrl, agentBatches, token } = options;
  // An inline function must not close the room, so the other options are read when they are needed.
  const latest = useRef(options);
  useEffect(() => void (latest.current = options));
  const store = useMemo(
    () => roomStore(latest, { io, transport, protocolId, baseUrl, agentBatches }),
    [io, transport, protocolId, baseUrl, agentBatches],
  );
  const isFunction = typeof token === "function";
  useEffect(() => void store.renew(), [store, isFunction ? null : token]);
  return useSyncExternalStore(store.subscribe, store.view, store.view);
}

/** A store for useSyncExternalStore. Each subscription has its own connection, since StrictMode subscribes twice. */
function roomStore(latest, place) {
  let view = NOTHING_YET;
  let current = null;
  const token = () => {
    const given = latest.current.token;
    return typeof given === "function" ? given() : given;
  };
  const subscribe = (redraw) => {
    if (!place.protocolId) return () => {};
    const given = Object.fromEntries(Object.entries({ ...latest.current, ...place, token }).filter(([, each]) => each !== undefined));
    const room = (current = new RoomClient(given));
    room.onEvent = (event) => latest.current.onEvent?.(event, room);
    room.onChange = () => {
      const { status, error, staleSince } = room;
      // A new object per change: React compares by identity, and the client keeps its maps.
      view = { status, error, staleSince, transport: room.transport, state: room.snapshot() };
      redraw();
    };
    room.start();
    return () => {
      room.onChange = () => {};
      room.onEvent = () => {};
      room.stop();
      if (current === room) current = null;
    };
  };
  /** Of a new token, a room that was signed out begins again. */
  const renew = () => {
    if (current?.status === Status.SIGNED_OUT) current.start();
    else current?.renew();
  };
  return { subscribe, renew, view: () => view };
}
