// Files that are dropped or pasted anywhere on the page.

import { button, el, openDialog } from "./dom.js";

/** Call `take(files, role)` for files that are dropped on a zone, or pasted; `role` is `content` or `style`. */
export function acceptFiles(take) {
  const zones = el("div", { class: "drop-zones", hidden: true });
  for (const [role, label] of [["content", "Photo or clip"], ["style", "Painting"]]) {
    const zone = el("div", { class: "drop-zone", "data-role": role }, label);
    zone.addEventListener("dragenter", () => zone.classList.add("over"));
    zone.addEventListener("dragleave", () => zone.classList.remove("over"));
    zones.append(zone);
  }
  document.body.append(zones);
  const hide = () => {
    zones.hidden = true;
    for (const zone of zones.children) zone.classList.remove("over");
  };
  // WebKitGTK announces files as addresses, and hands none over. The browser would leave the page for such a file.
  const hasFiles = (event) => ["Files", "text/uri-list"].some((type) => event.dataTransfer?.types.includes(type));
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    zones.hidden = Boolean(document.querySelector("dialog[open]"));
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget === null && hide());
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    const files = [...event.dataTransfer.files];
    const zone = event.target.closest?.(".drop-zone");
    hide();
    if (!files.length) explainMissingFiles();
    else if (zone) take(files, zone.dataset.role);
    else askForRole(files, take);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    askForRole(files, take);
  });
}

function askForRole(files, take) {
  const choose = (role) => () => {
    dialog.close();
    take(files, role);
  };
  const dialog = openDialog(
    "Use this file as",
    { class: "small" },
    el(
      "div",
      { class: "row" },
      button("The photo or clip", choose("content"), { class: "main" }),
      button("A painting", choose("style"), { class: "main" }),
      button("Cancel", () => dialog.close()),
    ),
  );
}

function explainMissingFiles() {
  const dialog = openDialog(
    "No file has arrived",
    { class: "small" },
    el("p", {}, "This window cannot take dropped files, or it was no file. Click Choose… beside the photo or the painting instead."),
    el("div", { class: "row" }, button("Close", () => dialog.close(), { class: "main" })),
  );
}
