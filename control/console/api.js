// Asks the daemon. Hides: the token, where it is kept and how it is sent.
// It is kept in sessionStorage: of this tab, gone with it. A cookie would be sent to every port of
// this host and along with requests that other pages cause.

const KEY = "turnpike-token";
const PATIENCE_MS = 4000;

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

export function hasToken() {
  return sessionStorage.getItem(KEY) !== null;
}

export function keepToken(token) {
  sessionStorage.setItem(KEY, token);
}

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

/** The answer as an object. Throws Refused for what the daemon refuses, else what fetch throws. */
export async function ask(path, query = {}) {
  const token = sessionStorage.getItem(KEY);
  const address = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  const answer = await fetch(address, {
    headers: token === null ? {} : {Authorization: `Bearer ${token}`},
    signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store", credentials: "omit",
  });
  const text = await answer.text();
  if (answer.ok) return JSON.parse(text);
  let reason = text;
  try {
    reason = JSON.parse(text).error;
  } catch { /* plain text, as it is */ }
  throw new Refused(answer.status, reason);
}
