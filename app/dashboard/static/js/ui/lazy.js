import { html, useEffect, useState } from "./preact.js";

/** A component whose module is loaded when it is first shown. @param {() => Promise<Function>} load */
export function lazy(load) {
  let Loaded = null;
  return function Lazy(properties) {
    const [isFailed, setFailed] = useState(false);
    const [, setLoaded] = useState(false);
    const start = () => {
      setFailed(false);
      load().then((component) => setLoaded(Boolean((Loaded = component))), () => setFailed(true));
    };
    useEffect(() => void (Loaded ?? start()), []);
    if (Loaded) return html`<${Loaded} ...${properties} />`;
    if (!isFailed) return html`<p class="none" role="status">Loading…</p>`;
    return html`<p class="none" role="alert">This part of the page could not be loaded. <button onClick=${start}>Try again</button></p>`;
  };
}
