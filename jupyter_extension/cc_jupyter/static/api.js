// Requests to the REST service, with the cookies of the login. A refusal becomes a Trouble with what to do.

import { back } from "./say.js";

export class Trouble extends Error {
  constructor(status, told) {
    super(told.message || `the server answered ${status}`);
    Object.assign(this, { status, hint: told.hint || "", problems: told.problems || [] });
  }
}

// The URL of a route from its parts, or of a page.
export function at(parts, query = {}) {
  const found = new URL(`api/${parts.map(encodeURIComponent).join("/")}`, document.baseURI);
  Object.entries(query).forEach(([key, value]) => found.searchParams.set(key, value));
  return found;
}
export const page = (...parts) => new URL(parts.map(encodeURIComponent).join("/"), document.baseURI).href;
export const visit = (url) => { location.href = url + location.search; };
export const visitRun = ({ run }) => visit(page("runs", run, ...(document.body.classList.contains("view") ? ["view"] : [])));

export async function ask(method, parts, { body, data, media, query, headers } = {}) {
  const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/)?.[1] || "", type = media || (body && "application/json");
  const sent = { "X-XSRFToken": xsrf, ...(type && { "Content-Type": type }), ...headers };
  const options = { method, headers: sent, body: body ? JSON.stringify(body) : data, cache: "no-store" };
  const answer = await fetch(at(parts, query), options).catch(() => null);
  if (!answer) throw new Trouble(0, { message: "the server cannot be reached", hint: "try again in a moment" });
  back();
  if (!answer.ok) throw new Trouble(answer.status, await answer.json().catch(() => ({})));
  return answer;
}
export const get = async (parts, query) => (await ask("GET", parts, { query })).json();
export const text = async (parts, query) => (await ask("GET", parts, { query })).text();
// One start, however often the request is sent; randomUUID would want https.
export async function start(body) {
  const headers = { "Idempotency-Key": crypto.getRandomValues(new Uint32Array(4)).join("-") };
  return (await ask("POST", ["runs"], { body, headers })).json();
}
