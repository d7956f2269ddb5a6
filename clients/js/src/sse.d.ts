import type { Transport } from "./room-client.js";

/** The transport that receives the room as a plain stream (Server-Sent Events) through `fetch`. */
export declare const sse: Transport;
