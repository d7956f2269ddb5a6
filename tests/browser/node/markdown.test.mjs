import assert from "node:assert/strict";
import { test } from "node:test";
import { parseMarkdown } from "../../../app/dashboard/static/js/markdown.js";

const MAX_NODES = 10_000;

/** The tree as nested arrays: `["strong", "text"]`. */
const short = (node) => {
  if (node.type === "text") return node.text;
  if (node.type === "link") return ["link", node.href, node.host, ...joined(node.children)];
  if (node.type === "list") return [node.isOrdered ? `list from ${node.start}` : "list", ...node.items.map((blocks) => blocks.map(short))];
  const inside = node.children ? joined(node.children) : (node.blocks?.map(short) ?? (node.text === undefined ? [] : [node.text]));
  return [node.level ? `heading ${node.level}` : node.type, ...inside];
};
const joined = (children) => children.map(short).filter((each) => each !== "");
const parsed = (text) => parseMarkdown(text).map(short);
const inline = (text) => parsed(text)[0].slice(1);
const count = (node) => 1 + [node.children, node.blocks, node.items?.flat()].flatMap((nodes) => nodes ?? []).reduce((sum, each) => sum + count(each), 0);
const textOf = (node) => node.text ?? [node.children, node.blocks, node.items?.flat()].flatMap((nodes) => nodes ?? []).map(textOf).join("");

test("paragraphs, headings, rules, quotes and code are blocks", () => {
  assert.deepEqual(parsed("One\ntwo\n\n## Impact ##\nThree\n***\n> quoted\n> # deep\n\n```sol\na < b\n\n# no\n```\n\n    indented\n"), [
    ["paragraph", "One\ntwo"],
    ["heading 2", "Impact"],
    ["paragraph", "Three"],
    ["rule"],
    ["quote", ["paragraph", "quoted"], ["heading 1", "deep"]],
    ["code", "a < b\n\n# no"],
    ["code", "indented"],
  ]);
  assert.deepEqual(parsed("~~~\nnever closed"), [["code", "never closed"]]);
  assert.deepEqual(parsed("#hash\n\n2019. was long ago"), [["paragraph", "#hash"], ["list from 2019", [["paragraph", "was long ago"]]]]);
});

test("lists are nested by their indentation, and items may hold blocks", () => {
  assert.deepEqual(parsed("1. one\n2. two\n   - inner\n     goes on\n   - other\n\n   ```\n   code\n   ```\n3. three\n\nafter"), [
    [
      "list from 1",
      [["paragraph", "one"]],
      [["paragraph", "two"], ["list", [["paragraph", "inner\ngoes on"]], [["paragraph", "other"]]], ["code", "code"]],
      [["paragraph", "three"]],
    ],
    ["paragraph", "after"],
  ]);
  assert.deepEqual(parsed("  - a\n  - b"), [["list", [["paragraph", "a"]], [["paragraph", "b"]]]]);
  assert.deepEqual(parsed("text\n2. no list\n- a list"), [["paragraph", "text\n2. no list"], ["list", [["paragraph", "a list"]]]]);
});

test("emphasis and inline code nest, and what is not closed is text", () => {
  assert.deepEqual(inline("a *b* __c__ ***d*** `e *f*` ``g`h``"), [
    "a ", ["emphasis", "b"], " ", ["strong", "c"], " ", ["emphasis", ["strong", "d"]], " ", ["code", "e *f*"], " ", ["code", "g`h"],
  ]);
  assert.deepEqual(inline("**bold *both***"), [["strong", "bold ", ["emphasis", "both"]]]);
  for (const text of ["2 * 3 * 4", "snake_case_name", "*open", "`open", "a ** b", "[a](", "[x](ftp://h)", "&amp; <b>x</b> <img src=x onerror=1>"]) {
    assert.deepEqual(textOf(parseMarkdown(text)[0]), text);
    assert.ok(parseMarkdown(text)[0].children.every(({ type }) => type === "text"), text);
  }
  assert.deepEqual(inline(String.raw`\*no\* \\`), ["*no* \\"]);
});

test("links are http or https, and show their host unless their text is their address", () => {
  assert.deepEqual(inline("[our *site*](https://evil.example/a(b)c)"), [["link", "https://evil.example/a(b)c", "evil.example", "our ", ["emphasis", "site"]]]);
  assert.deepEqual(inline("[https://bank.example](https://evil.example)"), [["link", "https://evil.example/", "evil.example", "https://bank.example"]]);
  assert.deepEqual(inline("See https://a.example/x?y=1. <HTTP://b.example>"), [
    "See ", ["link", "https://a.example/x?y=1", null, "https://a.example/x?y=1"], ". ", ["link", "http://b.example/", null, "HTTP://b.example"],
  ]);
  assert.deepEqual(inline("![plan](https://a.example/p.png)"), [["link", "https://a.example/p.png", "a.example", "plan"]]);
  assert.equal(inline("https://раypal.example/")[0][2], "xn--ypal-43d9g.example");
  for (const text of ["[x](javascript:alert(1))", "[x](JaVaScRiPt:alert(1))", "[x](data:text/html,a)", "https://bank.example@evil.example/", "[x](//evil.example)"]) {
    assert.ok(parseMarkdown(text)[0].children.every(({ type }) => type === "text"), text);
    assert.equal(textOf(parseMarkdown(text)[0]), text);
  }
});

test("hostile texts of 20,000 characters are parsed with bounded work and lose nothing", () => {
  const units = ["*", "_a", "*a ", "**a*", "`", "``` `", "[", "[a](", "[a](https://", "[a](https://b(", "![", "<https://a", "> ", "- ", "- a\n\n", "1. \n", "  - a\n", "# ", "#", "\n", "\\", "https://a", "- - "];
  const before = process.cpuUsage();
  for (const unit of units) {
    const text = unit.repeat(20_000 / unit.length);
    const blocks = parseMarkdown(text);
    const nodes = blocks.reduce((sum, each) => sum + count(each), 0);
    assert.ok(nodes <= MAX_NODES, `${unit}: ${nodes} nodes`);
  }
  const { user } = process.cpuUsage(before);
  assert.ok(user < 20_000_000, `${user} µs of CPU`);
  for (const unit of ["*", "[", "[a](", "<https://a", "https://a", "x"]) assert.equal(textOf({ children: parseMarkdown(`x ${unit.repeat(2000)}`) }), `x ${unit.repeat(2000)}`);
  assert.equal(textOf({ children: parseMarkdown(`${"*a* ".repeat(5000)}end`) }).endsWith("*a* end"), true);
});
