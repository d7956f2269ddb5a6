import { Room } from "./room.mjs";

/** An in-memory room that is read as a stream: `fetch` of the room, and of its `/events`. */
export class StreamedRoom extends Room {
  streams = [];
  /** The responses to the next requests for a stream, before they are accepted. */
  refusals = [];
  tokens = [];

  fetch = async (url, options) => {
    if (!url.includes("/events")) return this.fetchState(url, options);
    this.urls.push(url);
    this.tokens.push(options.headers.Authorization);
    const refusal = this.refusals.shift();
    if (refusal) return refusal();
    return new Response(this.#stream(options.signal), { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
  };

  async fetchState(url) {
    this.urls.push(url);
    this.requests += 1;
    return new Response(JSON.stringify(this.state()), { headers: { "Content-Type": "application/json" } });
  }

  #stream(signal) {
    let stream;
    return new ReadableStream({
      start: (controller) => {
        const end = (how) => {
          this.streams = this.streams.filter((each) => each !== stream);
          how();
        };
        const write = (text) => controller.enqueue(new TextEncoder().encode(text));
        stream = { write, end: () => end(() => controller.close()), cut: () => end(() => controller.error(new TypeError("cut"))) };
        signal.addEventListener("abort", () => this.streams.includes(stream) && end(() => controller.error(signal.reason)));
        this.streams.push(stream);
        write(this.frame("state", this.state()));
      },
    });
  }

  frame(name, data) {
    return `event: ${name}\nid: ${data.seq}\ndata: ${JSON.stringify(data)}\n\n`;
  }

  send(event) {
    this.write(this.frame(event.eventType, event));
  }

  write(text) {
    this.streams.forEach((stream) => stream.write(text));
  }
}

export const refused = (status, body = {}, headers = {}) => () => new Response(JSON.stringify(body), { status, headers });
