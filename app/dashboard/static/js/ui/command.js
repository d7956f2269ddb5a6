import { CopyButton } from "./copyable.js";
import { html } from "./preact.js";

/** A command for a shell, to copy; `label` names it for screen readers. */
export const Command = ({ text, label }) => html`<div class="command"><pre tabindex="0" aria-label=${label}><code>${text}</code></pre><${CopyButton} text=${text} label=${label} /></div>`;
