/** Renders JSON Schemas as tables of members; nested objects are collapsed. */
import { h, inline } from "./dom.js";

/** The schema of a reference, with its name. */
export function resolve(shape, schemas) {
  const name = shape?.$ref?.split("/").pop();
  return name ? { name, ...schemas[name] } : (shape ?? {});
}

/** The members of an object, as a table; null for anything else. `marks`: mark the required ones. */
export function members(shape, schemas, { marks = false, unfolded = [], seen = [] } = {}) {
  const schema = resolve(shape, schemas);
  const properties = Object.entries(schema.properties ?? {});
  if (!properties.length) return null;
  const all = properties.flatMap(([name, each]) => rows(name, each, schema, schemas, { marks, unfolded, seen: [...seen, schema.name] }));
  return h("table", { class: "members" }, h("thead", {}, h("tr", {}, ["Member", "Type", "Meaning"].map(heading))), h("tbody", {}, all));
}

const heading = (text) => h("th", { scope: "col" }, text);

/** A row for the member; an object also gets a row below it, as wide as the table. */
function rows(name, shape, schema, schemas, options) {
  const inner = innerOf(shape, schemas);
  const unfolds = inner && !options.seen.includes(inner.name) && inner.properties;
  const own = h(
    "tr",
    {},
    h("th", { scope: "row" }, h("code", {}, name), options.marks && schema.required?.includes(name) ? h("small", {}, "required") : null),
    h("td", {}, h("span", { class: "type" }, typeOf(shape, schemas)), limits(shape)),
    h("td", {}, h("p", {}, inline(shape.description ?? resolve(shape, schemas).description ?? "")), values(shape)),
  );
  return unfolds ? [own, h("tr", { class: "nested" }, h("td", { colspan: "3" }, fold(name, inner, schemas, options)))] : [own];
}

function fold(name, inner, schemas, options) {
  const title = h("summary", {}, "Members of ", h("code", {}, inner.name ?? name));
  return h("details", { open: options.unfolded.includes(name) }, title, members(inner, schemas, options));
}

/** The object schema of a member, of one of its alternatives or of its items. */
function innerOf(shape, schemas) {
  const choice = [...(shape.anyOf ?? []), ...(shape.oneOf ?? [])].find((each) => each.$ref) ?? shape;
  const schema = resolve(choice, schemas);
  return schema.type === "array" ? innerOf(schema.items, schemas) : schema;
}

export function typeOf(shape, schemas) {
  if (shape.$ref) return shape.$ref.split("/").pop();
  const choices = [...(shape.anyOf ?? []), ...(shape.oneOf ?? [])];
  if (choices.length) return choices.map((each) => typeOf(each, schemas)).join(" | ");
  const types = [shape.type ?? "any"].flat();
  const plain = types.map((type) => (type === "array" ? `${typeOf(shape.items ?? {}, schemas)}[]` : type)).join(" | ");
  return shape.format ? `${plain} (${shape.format})` : plain;
}

function limits(shape) {
  const parts = [];
  if (shape.minLength != null || shape.maxLength != null) parts.push(`${shape.minLength ?? 0}–${shape.maxLength ?? "∞"} characters`);
  if (shape.minimum != null || shape.maximum != null) parts.push(`${shape.minimum ?? "−∞"} to ${shape.maximum ?? "∞"}`);
  if (shape.minItems != null || shape.maxItems != null) parts.push(`${shape.minItems ?? 0}–${shape.maxItems ?? "∞"} items`);
  if (shape.default != null) parts.push(`default ${JSON.stringify(shape.default)}`);
  return parts.length ? h("small", {}, parts.join(", ")) : null;
}

function values(shape) {
  const known = (shape.enum ?? []).filter((each) => each !== null);
  return known.length > 1 && known.length < 20 ? h("p", { class: "values" }, known.map((each) => h("code", {}, String(each)))) : null;
}
