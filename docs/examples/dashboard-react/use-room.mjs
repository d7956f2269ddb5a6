/**
 * A protocol's room as a React hook, on top of the reference client.
 *
 *   const { status, staleSince, error, state } = useRoom({ io, token, protocolId, baseUrl });
 *
 * `state` has the form of `GET /protocols/{id}/state`, and is null until it has been fetched.
 */
import { useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { RoomClient, Status } from "@dashboard-realtime/client";

const NOTHING_YET = { status: Status.CONNECTING, staleSince: null, error: null, state: null };

export function useRoom({ io, token, protocolId, baseUrl = "" }) {
  // A new token, or an inline function, must not close the room, so it is read only when it is needed.
  const latestToken = useRef(token);
  useEffect(() => {
    latestToken.current = token;
  }, [token]);
  const store = useMemo(() => {
    const readToken = () => (typeof latestToken.current === "function" ? latestToken.current() : latestToken.current);
    return roomStore({ io, protocolId, baseUrl, token: readToken });
  }, [io, protocolId, baseUrl]);
  return useSyncExternalStore(store.subscribe, store.view, store.view);
}

/** A store for useSyncExternalStore. Each subscription has its own connection, since StrictMode subscribes twice. */
function roomStore(options) {
  let view = NOTHING_YET;
  const subscribe = (redraw) => {
    const room = new RoomClient(options);
    room.onChange = () => {
      // A new object per change: React compares by identity, and the client keeps its maps.
      view = { status: room.status, staleSince: room.staleSince, error: room.error, state: room.snapshot() };
      redraw();
    };
    room.start();
    return () => {
      room.onChange = () => {};
      room.stop();
    };
  };
  return { subscribe, view: () => view };
}
