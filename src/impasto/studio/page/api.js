// The studio's API: JSON in and out, what goes wrong as one line, and a sign-in where a token is asked for.

import { el, dialog } from "./dom.js";

export class Refused extends Error {}

const AWAY = "The studio does not answer. Is it still open?";
const READABLE = { 413: "That file is too large." };

let entering = null;

function why(status, text) {
  try {
    return JSON.parse(text).error ?? READABLE[status];
  } catch {
    return READABLE[status] ?? `The studio answered ${status}.`;
  }
}

async function request(method, path, body) {
  const headers = body === undefined ? {} : { "content-type": "application/json" };
  const answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) }).catch(
    () => {
      throw new Refused(AWAY);
    },
  );
  if (answer.status === 401 && path !== "/api/session") {
    await enter();
    return request(method, path, body);
  }
  const text = await answer.text();
  if (!answer.ok) throw new Refused(why(answer.status, text));
  return text ? JSON.parse(text) : null;
}

export const get = (path) => request("GET", path);
export const post = (path, body) => request("POST", path, body);
export const remove = (path) => request("DELETE", path);

/** Send a file; `progress` is told the share that went out. */
export function upload(file, name, progress = () => {}) {
  return new Promise((resolve, reject) => {
    const sending = new XMLHttpRequest();
    sending.open("POST", `/api/files?name=${encodeURIComponent(name.slice(-200))}`);
    sending.setRequestHeader("content-type", "application/octet-stream");
    sending.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    sending.onerror = () => reject(new Refused(AWAY));
    sending.onload = () => {
      if (sending.status === 201) resolve(JSON.parse(sending.responseText));
      else if (sending.status === 401) enter().then(() => upload(file, name, progress)).then(resolve, reject);
      else reject(new Refused(why(sending.status, sending.responseText)));
    };
    sending.send(file);
  });
}

/** Ask for the token until it is right. */
function enter() {
  entering ??= new Promise((resolve) => {
    const token = el("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
    const problem = el("p", { class: "problem", role: "alert" });
    const form = el(
      "form",
      {},
      el("p", {}, "This studio asks for a token. Whoever opened it knows it."),
      el("label", { for: "token" }, "Token"),
      token,
      problem,
      el("div", { class: "row end" }, el("button", { class: "main" }, "Sign in")),
    );
    const box = dialog("Sign in", { class: "small" }, form);
    box.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await post("/api/session", { token: token.value });
        box.close();
        entering = null;
        resolve();
      } catch (error) {
        problem.textContent = error.message;
        token.select();
      }
    });
  });
  return entering;
}
