/** The REST API, from the OpenAPI document. */
import { h, inline, json, markdown, snippet } from "./dom.js";
import { members, typeOf } from "./schema.js";

// The roles are shown as chips; the restriction in brackets is kept.
const ROLES = /Roles: [^.(]*(\([^)]*\))?\.$/;

/** [{title, about, entries: [{id, title, badge, words, element}]}], one group per tag. */
export function restGroups(document_) {
  const groups = document_.tags.map((tag) => ({ title: tag.name, about: tag.description, entries: [] }));
  const add = (path, method, operation, kind) =>
    groups.find((group) => group.title === operation.tags[0]).entries.push(entry(path, method, operation, document_, kind));
  for (const [path, item] of Object.entries(document_.paths))
    for (const [method, operation] of Object.entries(item)) add(path, method, operation, "");
  for (const [name, item] of Object.entries(document_.webhooks ?? {}))
    for (const [method, operation] of Object.entries(item)) add(`→ ${name}`, method, operation, "webhook");
  return groups.filter((group) => group.entries.length);
}

function entry(path, method, operation, document_, kind) {
  const id = operation.operationId;
  const body = operation.requestBody?.content?.["application/json"];
  const words = [path, method, id, operation.summary, operation.description, JSON.stringify(body ?? ""), JSON.stringify(operation.responses)];
  const badge = { text: kind || method, kind: kind || method };
  return { id, title: operation.summary, path, badge, words: words.join(" ").toLowerCase(), element: card(id, path, method, operation, document_, body) };
}

function card(id, path, method, operation, document_, body) {
  const { schemas } = document_.components;
  return h(
    "article",
    { id, class: "card", "aria-labelledby": `${id}-title` },
    h("h3", { id: `${id}-title` }, operation.summary),
    h("p", { class: "route" }, h("span", { class: `badge ${method}` }, method.toUpperCase()), h("code", {}, path)),
    markdown(operation.description.replace(ROLES, "")),
    roles(operation),
    parameters(operation, schemas),
    body && request(path, method, operation, body, schemas),
    !body && !path.startsWith("→") && h("div", { class: "part" }, h("h4", {}, "Call"), curl(path, method, operation)),
    responses(operation, document_),
  );
}

function roles(operation) {
  if (!operation["x-roles"]) return null;
  return h("p", { class: "roles" }, h("span", {}, "Roles"), operation["x-roles"].map((role) => h("span", { class: "chip" }, role)), operation.description.match(ROLES)?.[1]);
}

function parameters(operation, schemas) {
  if (!operation.parameters?.length) return null;
  const rows = operation.parameters.map((each) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, h("code", {}, each.name), each.required ? h("small", {}, "required") : null),
      h("td", {}, each.in),
      h("td", {}, h("span", { class: "type" }, typeOf(each.schema, schemas)), each.schema.default != null && h("small", {}, `default ${each.schema.default}`)),
      h("td", {}, inline(each.description ?? ""), each.schema.enum && h("p", { class: "values" }, each.schema.enum.map((value) => h("code", {}, value)))),
    ),
  );
  const head = ["Parameter", "In", "Type", "Meaning"].map((text) => h("th", { scope: "col" }, text));
  return h("div", { class: "part" }, h("h4", {}, "Parameters"), h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}

function request(path, method, operation, body, schemas) {
  const shown = Object.entries(body.examples ?? {});
  return h(
    "div",
    { class: "part" },
    h("h4", {}, "Request body"),
    members(body.schema, schemas, { marks: true }),
    shown.map(([name, example]) =>
      h("div", { class: "example" }, shown.length > 1 && h("h5", {}, name), path.startsWith("→") ? json(example.value, name) : curl(path, method, operation, example.value)),
    ),
  );
}

/** A call that works when pasted, with TOKEN set. */
function curl(path, method, operation, body) {
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => operation.parameters.find((each) => each.name === name)?.example ?? `{${name}}`);
  const lines = [`curl ${method === "post" ? "-X POST " : ""}${location.origin}${filled}`];
  if (operation.security?.length) lines.push('-H "Authorization: Bearer $TOKEN"');
  if (operation.parameters?.some((each) => each.name === "Idempotency-Key")) lines.push('-H "Idempotency-Key: $(uuidgen)"');
  if (body !== undefined) lines.push("--json '" + JSON.stringify(body).replaceAll("'", "'\\''") + "'");
  const text = lines.join(" \\\n  ");
  return snippet(h("code", {}, text), text, "call");
}

function responses(operation, document_) {
  const { schemas, responses: shared } = document_.components;
  const all = Object.entries(operation.responses).map(([status, given]) => {
    const response = given.$ref ? shared[given.$ref.split("/").pop()] : given;
    const media = Object.values(response.content ?? {})[0];
    const examples = Object.values(media?.examples ?? {});
    const good = status.startsWith("2");
    const codes = good ? [] : examples.map((each) => h("code", {}, each.value?.code ?? ""));
    return h(
      "details",
      { class: good ? "response good" : "response", open: good },
      h("summary", {}, h("strong", {}, status), " ", inline(response.description), codes.length ? h("span", { class: "codes" }, codes) : null),
      media && good && members(media.schema, schemas),
      examples.map((each) => json(each.value, `example of ${status}`)),
    );
  });
  return h("div", { class: "part" }, h("h4", {}, "Responses"), all);
}
