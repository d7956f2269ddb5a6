/** The Socket.IO API, from the AsyncAPI document. */
import { h, inline, json, markdown } from "./dom.js";
import { members } from "./schema.js";

const PAYLOAD = "Payload";

/** One group of the events of rooms, one of the messages of the connection. */
export function socketGroups(document_) {
  const groups = [
    { title: "events", about: document_.channels.room.description, entries: [] },
    { title: "connection and rooms", about: document_.channels.connection.description, entries: [] },
  ];
  for (const [id, operation] of Object.entries(document_.operations)) {
    const inRoom = operation.channel.$ref.endsWith("/room");
    groups[inRoom ? 0 : 1].entries.push(entry(id, operation, document_));
  }
  return groups;
}

/** Resolves a reference, and the reference of a channel's message to the message itself. */
function follow(document_, reference) {
  const found = reference.split("/").slice(1).reduce((node, part) => node[part], document_);
  return found.$ref ? follow(document_, found.$ref) : found;
}

function entry(id, operation, document_) {
  const message = follow(document_, operation.messages[0].$ref);
  const replies = (operation.reply?.messages ?? []).map((each) => follow(document_, each.$ref));
  const channel = follow(document_, operation.channel.$ref);
  const badge = operation.action === "send" ? { text: "receive", kind: "receive" } : { text: "emit", kind: "emit" };
  const words = [id, message.name, message.summary, operation.summary, JSON.stringify([message, replies])].join(" ").toLowerCase();
  return { id, title: message.name, path: message.name, badge, words, element: card(id, operation, message, replies, channel, badge, document_) };
}

function card(id, operation, message, replies, channel, badge, document_) {
  return h(
    "article",
    { id, class: "card", "aria-labelledby": `${id}-title` },
    h("h3", { id: `${id}-title` }, message.name),
    h("p", { class: "route" }, h("span", { class: `badge ${badge.kind}` }, badge.text.toUpperCase()), h("code", {}, channel.address)),
    markdown(message.summary),
    payload(PAYLOAD, message, document_),
    replies.map((each) => payload(each.name, each, document_)),
  );
}

function payload(title, message, document_) {
  const { schemas } = document_.components;
  const shown = message.examples ?? [];
  return h(
    "div",
    { class: "part" },
    h("h4", {}, title),
    title !== PAYLOAD && h("p", {}, inline(message.summary)),
    message.payload && members(message.payload, schemas, { marks: title === PAYLOAD, unfolded: ["data"] }),
    shown.map((each) =>
      h("details", { class: "example", open: shown.length === 1 }, h("summary", {}, each.name), json(each.payload, each.name)),
    ),
  );
}
