import { ago, dateTime, fullTime } from "../time.js";
import { html } from "./preact.js";

/** A moment (ISO 8601) as date and time. */
export const Moment = ({ at }) => html`<time datetime=${at} title=${fullTime(at)}>${dateTime(at)}</time>`;

/** A moment by its age; `now` is the estimated server time. */
export const Age = ({ at, now }) => html`<time datetime=${at} title=${fullTime(at)}>${ago(at, now)}</time>`;
