// The client of the REST API: JSON in and out, errors as one line, and a sign-in dialog where a token is needed.

import { el, openDialog } from "./dom.js";
import { withLabels } from "./labels.js";

export class ApiError extends Error {}

const NO_RESPONSE = "The studio does not respond. Is it still running?";
const STATUS_TEXTS = { 413: "That file is too large." };

let signingIn = null;

function errorText(status, body) {
  try {
    const { error } = JSON.parse(body);
    return error === undefined ? STATUS_TEXTS[status] : withLabels(error);
  } catch {
    return STATUS_TEXTS[status] ?? `The studio responded with status ${status}.`;
  }
}

async function send(method, path, data, signal) {
  const headers = data === undefined ? {} : { "content-type": "application/json" };
  const body = data === undefined ? undefined : JSON.stringify(data);
  const response = await fetch(path, { method, headers, body, signal }).catch(() => {
    throw new ApiError(NO_RESPONSE);
  });
  if (response.status === 401 && path !== "/api/session") {
    await signIn();
    return send(method, path, data, signal);
  }
  if (!response.ok) throw new ApiError(errorText(response.status, await response.text()));
  return response;
}

async function request(method, path, data) {
  const text = await (await send(method, path, data)).text();
  return text ? JSON.parse(text) : null;
}

export const get = (path) => request("GET", path);
export const post = (path, data) => request("POST", path, data);
export const remove = (path) => request("DELETE", path);

/** Post a request for a picture. Return it as a blob, or null if it is not ready yet. Aborting `signal` cancels the request. */
export async function postForPicture(path, data, signal) {
  const response = await send("POST", path, data, signal);
  return response.status === 202 ? null : response.blob();
}

/** Upload a picture. `onProgress` receives the share that is sent, from 0 to 1. */
export const upload = (file, name, onProgress) => sendFile("/api/files", file, name, onProgress);

/** Upload a clip. */
export const uploadClip = (file, name, onProgress) => sendFile("/api/clips", file, name, onProgress);

export const uploadProfile = (file) => sendFile("/api/profiles", file, file.name);

function sendFile(path, file, name, onProgress = () => {}) {
  return new Promise((resolve, reject) => {
    const transfer = new XMLHttpRequest();
    transfer.open("POST", `${path}?name=${encodeURIComponent(name.slice(-200))}`);
    transfer.setRequestHeader("content-type", "application/octet-stream");
    transfer.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    transfer.onerror = () => reject(new ApiError(NO_RESPONSE));
    transfer.onload = () => {
      if (transfer.status === 201) resolve(JSON.parse(transfer.responseText));
      else if (transfer.status === 401) signIn().then(() => sendFile(path, file, name, onProgress)).then(resolve, reject);
      else reject(new ApiError(errorText(transfer.status, transfer.responseText)));
    };
    transfer.send(file);
  });
}

/** Ask for the token until it is right. */
function signIn() {
  signingIn ??= new Promise((resolve) => {
    const token = el("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
    const problem = el("p", { class: "problem", role: "alert" });
    const form = el(
      "form",
      {},
      el("p", {}, "This studio needs a token. The person who started it has set one."),
      el("label", { for: "token" }, "Token"),
      token,
      problem,
      el("div", { class: "row end" }, el("button", { class: "main" }, "Sign in")),
    );
    const dialog = openDialog("Sign in", { class: "small" }, form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await post("/api/session", { token: token.value });
        dialog.close();
        signingIn = null;
        resolve();
      } catch (error) {
        problem.textContent = error.message;
        token.select();
      }
    });
  });
  return signingIn;
}
