/**
 * Markdown as a tree of plain data: paragraphs, headings, lists, quotes, code, emphasis and links. Pure.
 *
 * What is not Markdown stays text: raw HTML is never interpreted, an image is a link, and a link that is not plain http or
 * https is text. The work is linear in the length: no pattern rescans what another start has scanned, nesting and nodes
 * have a limit, and beyond it the rest is text.
 *
 * Own code in place of marked with DOMPurify: those are 20 kB more to transfer, and produce HTML, which this page never
 * inserts.
 */
const MAX_LENGTH = 25_000; // the server cuts at 20,000
const MAX_DEPTH = 6;
const MAX_NODES = 3000;
const MAX_OPENERS = 16;

/** Blocks: `{type, children | blocks | items | text, …}`; inline nodes: `{type, text | children, href, host}`. */
export function parseMarkdown(text) {
  const lines = text.slice(0, MAX_LENGTH).split("\n").map(withSpaces);
  return blocksOf(lines, { depth: 0, budget: { left: MAX_NODES } });
}

const withSpaces = (line) => line.replace(/^[ \t]+/, (indent) => indent.replaceAll("\t", "    "));
const isBlank = (line) => line.trim() === "";
const indentOf = (line) => line.length - line.trimStart().length;

function blocksOf(lines, { depth, budget }) {
  const inner = { depth: depth + 1, budget };
  const readers = depth < MAX_DEPTH ? [readFence, readIndented, readHeading, readRule, readQuote, readList] : [];
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) {
      at += 1;
      continue;
    }
    budget.left -= 1;
    const read = budget.left > 0 && readers.find((each) => each.starts(lines[at]));
    const [block, next] = read ? read(lines, at, inner) : readParagraph(lines, at, inner);
    blocks.push(block);
    at = next;
  }
  return blocks;
}

const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;

function readFence(lines, at) {
  const mark = FENCE.exec(lines[at])[1];
  const isEnd = (line) => indentOf(line) < 4 && line.trim().length >= mark.length && line.trim().replaceAll(mark[0], "") === "";
  let end = at + 1;
  while (end < lines.length && !isEnd(lines[end])) end += 1;
  return [{ type: "code", text: lines.slice(at + 1, end).join("\n") }, end + 1];
}
readFence.starts = (line) => FENCE.test(line);

function readIndented(lines, at) {
  let end = at;
  while (end < lines.length && (isBlank(lines[end]) || readIndented.starts(lines[end]))) end += 1;
  return [{ type: "code", text: lines.slice(at, end).map((line) => line.slice(4)).join("\n").trimEnd() }, end];
}
readIndented.starts = (line) => line.startsWith("    ");

const HEADING = /^ {0,3}(#{1,6})(?: |$)/;

function readHeading(lines, at, { budget }) {
  const [start, marks] = HEADING.exec(lines[at]);
  const text = lines[at].slice(start.length).trim();
  let end = text.length;
  while (text[end - 1] === "#") end -= 1;
  const isClosed = end === 0 || text[end - 1] === " ";
  return [{ type: "heading", level: marks.length, children: inlineOf(isClosed ? text.slice(0, end).trim() : text, budget) }, at + 1];
}
readHeading.starts = (line) => HEADING.test(line);

const readRule = (_, at) => [{ type: "rule" }, at + 1];
readRule.starts = (line) => indentOf(line) < 4 && /^(-{3,}|\*{3,}|_{3,})$/.test(line.replaceAll(" ", ""));

const QUOTE = /^ {0,3}> ?/;

function readQuote(lines, at, inner) {
  let end = at;
  while (end < lines.length && QUOTE.test(lines[end])) end += 1;
  return [{ type: "quote", blocks: blocksOf(lines.slice(at, end).map((line) => line.replace(QUOTE, "")), inner) }, end];
}
readQuote.starts = (line) => QUOTE.test(line);

const ITEM = /^( {0,3})([-*+]|\d{1,9}[.)])( {1,4}(?! )| (?= )|$)/;

function readList(lines, at, inner) {
  const [, , marker] = ITEM.exec(lines[at]);
  const isOrdered = /\d/.test(marker);
  const items = [];
  let next = at;
  for (let match; inner.budget.left > 0 && (match = ITEM.exec(lines[next] ?? "")); ) {
    if (match[2].at(-1) !== marker.at(-1) || readRule.starts(lines[next])) break;
    inner.budget.left -= 1;
    const width = match[0].length;
    const end = endOfItem(lines, next, Math.min(width, match[1].length + 2));
    items.push(blocksOf([lines[next].slice(width), ...lines.slice(next + 1, end).map((line) => line.slice(Math.min(width, indentOf(line))))], inner));
    const following = firstFilled(lines, end);
    next = ITEM.test(lines[following] ?? "") ? following : end;
  }
  return [{ type: "list", isOrdered, start: isOrdered ? parseInt(marker, 10) : undefined, items }, next];
}
readList.starts = (line) => ITEM.test(line);

function firstFilled(lines, from) {
  let at = from;
  while (at < lines.length && isBlank(lines[at])) at += 1;
  return at;
}

/** An item goes on with lines that are indented, and with those that continue its paragraph. */
function endOfItem(lines, at, indent) {
  let end = at + 1;
  while (end < lines.length) {
    const filled = firstFilled(lines, end);
    if (filled === lines.length) return end;
    const isIndented = indentOf(lines[filled]) >= indent;
    if (!isIndented && (filled > end || startsBlock(lines[filled]))) return end;
    end = filled + 1;
  }
  return end;
}

const startsBlock = (line) => [readFence, readHeading, readRule, readQuote, readList].some((each) => each.starts(line));
/** "2019. was a good year" within a paragraph is no list. */
const endsParagraph = (line) => isBlank(line) || (startsBlock(line) && (!/^ *\d/.test(line) || /^ *1[.)]/.test(line)));

function readParagraph(lines, at, { budget }) {
  let end = at + 1;
  while (end < lines.length && (budget.left <= 0 || !endsParagraph(lines[end]))) end += 1;
  return [{ type: "paragraph", children: inlineOf(lines.slice(at, end).join("\n").trim(), budget) }, end];
}

const LABEL = String.raw`!?\[([^[\]\n]{1,300})\]`;
const TARGET = String.raw`\((https?:\/\/(?:[^\s()<>[\]]|\([^\s()<>[\]]*\))+)\)`;
const BARE = String.raw`https?:\/\/[^\s<>"'\x60[\]]+`;
const TOKEN = new RegExp(String.raw`\\([!-/:-@[-\x60{-~])|(\x60+)|${LABEL}${TARGET}|<(${BARE})>|(${BARE})|(\*+|_+)`, "gi");

/** The inline nodes of a text. */
function inlineOf(text, budget, { hasLinks = true } = {}) {
  const out = new Inline();
  const closing = closingRuns(text);
  const pattern = new RegExp(TOKEN);
  let from = 0;
  for (let match; budget.left > 0 && (match = pattern.exec(text)); from = pattern.lastIndex) {
    budget.left -= 1;
    out.text(text.slice(from, match.index));
    const [all, escaped, ticks, label, target, marked, bare, emphasis] = match;
    const end = ticks && closing(match.index, ticks.length);
    if (escaped) out.text(escaped);
    else if (end) {
      out.node({ type: "code", text: codeText(text.slice(pattern.lastIndex, end)) });
      pattern.lastIndex = end + ticks.length;
    } else if (emphasis) out.delimiter(emphasis, text[match.index - 1], text[pattern.lastIndex]);
    else if (ticks || !hasLinks) out.text(all);
    else {
      const url = bare ? bare.replace(/[.,;:!?)*_]{1,20}$/, "") : (target ?? marked);
      const children = label ? inlineOf(label, budget, { hasLinks: false }) : [{ type: "text", text: url }];
      const link = linkTo(url, label ?? url);
      if (link) out.node({ type: "link", ...link, children });
      else out.text(bare ? url : all);
      if (bare) pattern.lastIndex = match.index + url.length;
    }
  }
  out.text(text.slice(from));
  return out.nodes;
}

const codeText = (text) => (/^ .*[^ ].* $/s.test(text) ? text.slice(1, -1) : text).replaceAll("\n", " ");

/** The position of the next run of exactly this many backticks, found without scanning the text again for each run. */
function closingRuns(text) {
  const byLength = new Map();
  for (const { index, 0: run } of text.matchAll(/`+/g)) {
    if (!byLength.has(run.length)) byLength.set(run.length, []);
    byLength.get(run.length).push(index);
  }
  for (const positions of byLength.values()) positions.reverse();
  return (at, length) => {
    const positions = byLength.get(length) ?? [];
    while (positions.length && positions.at(-1) <= at) positions.pop();
    return positions.at(-1);
  };
}

/** The link's address, and its host unless the link's own text shows it; null for what is no plain web address. */
function linkTo(url, text) {
  if (!URL.canParse(url)) return null;
  const { protocol, username, password, host, href } = new URL(url);
  if (!["http:", "https:"].includes(protocol) || username || password) return null;
  const isShown = text === url && url.toLowerCase().startsWith(`${protocol}//${host}`);
  return { href, host: isShown ? null : host };
}

/** Collects inline nodes; a closing delimiter wraps what came since its opener. */
class Inline {
  nodes = [];
  #openers = [];

  text(text) {
    if (text === "") return;
    const last = this.nodes.at(-1);
    if (last?.type === "text" && !last.isOpener) last.text += text;
    else this.nodes.push({ type: "text", text });
  }

  node(node) {
    this.nodes.push(node);
  }

  delimiter(run, before = " ", after = " ") {
    const isWithinWord = run[0] === "_" && /\w/.test(before) && /\w/.test(after);
    const canOpen = /\S/.test(after) && !isWithinWord;
    const left = /\S/.test(before) && !isWithinWord ? this.#close(run) : run.length;
    const rest = run[0].repeat(left);
    if (!canOpen || left === 0 || left > 3 || this.#openers.length >= MAX_OPENERS) return this.text(rest);
    this.#openers.push({ mark: run[0], left, at: this.nodes.length });
    this.nodes.push({ type: "text", text: rest, isOpener: true });
  }

  /** Returns how many marks of the run are left. */
  #close(run) {
    let { length } = run;
    while (length > 0) {
      const index = this.#openers.findLastIndex(({ mark }) => mark === run[0]);
      if (index < 0) break;
      const opener = this.#openers[index];
      const used = opener.left > 1 && length > 1 ? 2 : 1;
      const children = this.nodes.splice(opener.at + 1);
      opener.left -= used;
      length -= used;
      this.nodes[opener.at] = { type: "text", text: opener.mark.repeat(opener.left), isOpener: true };
      this.nodes.push({ type: used === 2 ? "strong" : "emphasis", children });
      this.#openers.length = opener.left ? index + 1 : index;
    }
    return length;
  }
}
