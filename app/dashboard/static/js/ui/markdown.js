import { parseMarkdown } from "../markdown.js";
import { html, memo } from "./preact.js";

const TOP_LEVEL = 4; // below the panel's h2 and its sections' h3

/** A text from outside, drawn as Markdown. Everything becomes text nodes of fixed elements; no HTML is interpreted. */
export const Markdown = memo(({ text }) => {
  const levels = { last: TOP_LEVEL - 1 };
  return html`<div class="markdown">${parseMarkdown(text).map((block) => drawBlock(block, levels))}</div>`;
});

function drawBlock(block, levels) {
  if (block.type === "heading") return drawHeading(block, levels);
  if (block.type === "rule") return html`<hr />`;
  if (block.type === "code") return html`<pre tabindex="0" role="region" aria-label="Code" dir="ltr"><code>${block.text}</code></pre>`;
  if (block.type === "quote") return html`<blockquote>${block.blocks.map((each) => drawBlock(each, levels))}</blockquote>`;
  if (block.type === "list") return drawList(block, levels);
  return html`<p dir="auto">${block.children.map(drawInline)}</p>`;
}

/** No level is skipped, whichever the text begins with. */
function drawHeading({ level, children }, levels) {
  levels.last = Math.min(6, levels.last + 1, level + TOP_LEVEL - 1);
  return html`<${`h${levels.last}`} dir="auto">${children.map(drawInline)}<//>`;
}

function drawList({ isOrdered, start, items }, levels) {
  const drawn = items.map((blocks) => html`<li dir="auto">${drawItem(blocks, levels)}</li>`);
  return isOrdered ? html`<ol start=${start}>${drawn}</ol>` : html`<ul>${drawn}</ul>`;
}

/** An item's first paragraph stands beside its mark. */
function drawItem([first, ...rest], levels) {
  const isText = first?.type === "paragraph";
  return [isText ? first.children.map(drawInline) : first && drawBlock(first, levels), ...rest.map((each) => drawBlock(each, levels))];
}

function drawInline(node) {
  if (node.type === "text") return node.text;
  if (node.type === "code") return html`<code>${node.text}</code>`;
  const children = node.children.map(drawInline);
  if (node.type === "strong") return html`<strong>${children}</strong>`;
  if (node.type === "emphasis") return html`<em>${children}</em>`;
  return html`<a href=${node.href} target="_blank" rel="noopener noreferrer" dir="auto">${children}</a>${node.host && html`<span class="link-host"> (${node.host})</span>`}`;
}
