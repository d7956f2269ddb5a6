/** Compiled, not run, by test_js_package.py: each expected error must be one. */
import { RoomClient, Status, type RoomEvent } from "@dashboard-realtime/client";
import { Agent } from "@dashboard-realtime/client/agent";
import { useRoom } from "@dashboard-realtime/client/react";
import { ApiError, RestClient, type ResultOf } from "@dashboard-realtime/client/rest";
import { sse } from "@dashboard-realtime/client/sse";
import { io } from "socket.io-client";

const place = { protocolId: "P1", token: async () => "T" };

export function rooms(): void {
  const room = new RoomClient({ io, ...place, fallback: async () => (await import("@dashboard-realtime/client/sse")).sse });
  new RoomClient({ transport: sse, ...place, streamSilenceMs: 1000 });
  room.onChange = ({ status }) => status === Status.LIVE;
  const available: string | undefined = room.state?.pool.available;
  const progress: string | null | undefined = room.state?.agents.get("A1")?.progress;
  const title: string | undefined = room.snapshot()?.vulnerabilities.open[0]?.title;
  room.onEvent = (event: RoomEvent) => {
    if (event.eventType === "payment:status_changed") return event.data.newStatus === "FAILED";
    // @ts-expect-error other events have other data
    return event.data.newStatus;
  };
  // @ts-expect-error neither io nor a transport
  new RoomClient(place);
  // @ts-expect-error misspelt
  room.state?.pool.availible;
  // @ts-expect-error no such status
  void (room.status === "online");
  void [available, progress, title];
}

export function hooks(): string | undefined {
  const { state, transport } = useRoom({ io, token: "T", protocolId: null });
  // @ts-expect-error no token
  useRoom({ io, protocolId: "P1" });
  return transport === "stream" ? state?.pool.total : undefined;
}

export async function agents(): Promise<string> {
  const agent = new Agent({ token: "T", protocolId: "P1", log: (event, details) => console.log(event, details) });
  const seven: number = await agent.run("Scan", async (task) => {
    task.progress(40, { eta: new Date() });
    task.fail(new Error("x"), { code: "X" });
    return 7;
  });
  // @ts-expect-error no such severity
  agent.file("x", "URGENT");
  // @ts-expect-error a number is not exact
  agent.file("x", "LOW", { bounty: 2.5 });
  const filed = await agent.task("Scan", { protocolId: "P2" }).file("x", "LOW", { bounty: "2.5" });
  return filed.id + seven + (await agent.close({ timeoutMs: 1 })).length + agent.counters.sent;
}

export async function calls(rest: RestClient): Promise<void> {
  const { entry, pool } = await rest.createDeposit({ protocolId: "P1", body: { amount: "1" } }, { idempotencyKey: "k" });
  const amount: string = entry.amount + pool.available;
  const page: ResultOf<"listPayments"> = await rest.listPayments({ protocolId: "P1", status: "FAILED" });
  for await (const payment of rest.listPayments({ protocolId: "P1" })) void payment.recipient;
  for await (const protocol of rest.listProtocols()) void protocol.name;
  await rest.retryPayment({ paymentId: "X" });
  const csv = await (await rest.request("listEntries", { protocolId: "P1" }, { accept: "text/csv" })).text();
  // @ts-expect-error the protocol is missing
  await rest.getPool({});
  // @ts-expect-error no such status
  await rest.listPayments({ protocolId: "P1", status: "LOST" });
  // @ts-expect-error the body is missing
  await rest.createDeposit({ protocolId: "P1" });
  // @ts-expect-error no such operation
  await rest.getNothing();
  const error = new ApiError("x");
  const seconds: number = error.retryAfter;
  void [amount, page.nextCursor, csv, seconds, error.errors?.amount?.[0]];
}
