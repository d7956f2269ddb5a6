/** An async function that returns the current token; `token` is one, or a string, or any function that returns it. */
export const tokenReader = (token) => async () => (typeof token === "function" ? token() : token);

/** The claims of a token, unverified; null if it is not one. */
export function claimsOf(token) {
  try {
    const text = atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (char) => char.codePointAt(0))));
  } catch {
    return null;
  }
}

/** A new Idempotency-Key. `crypto.randomUUID` is missing in pages that came over plain http. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
