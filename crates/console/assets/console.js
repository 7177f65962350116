// What pages do beyond links and forms. Without this file they can be read and used all the same.
"use strict";

// The one-time secret goes from the address into the form, and out of the address.
const secret = document.getElementById("secret");
if (secret && location.hash.length > 1) {
  secret.value = location.hash.slice(1);
  history.replaceState(null, "", location.pathname);
  document.getElementById("paste").hidden = true;
  document.getElementById("enter").focus();
}

// Times in the reader's zone. The machine's form stays in the element.
const two = (number) => String(number).padStart(2, "0");
const forms = {
  minute: (at) => `${two(at.getHours())}:${two(at.getMinutes())}`,
  clock: (at) => `${forms.minute(at)}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`,
  full: (at) =>
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${forms.minute(at)}:${two(at.getSeconds())}`,
};
const localize = (root) => {
  for (const element of root.querySelectorAll("[data-form]")) {
    const iso = element.getAttribute("datetime") || element.dataset.time;
    const form = forms[element.dataset.form];
    const at = new Date(iso);
    if (!form || Number.isNaN(at.getTime())) continue;
    const text = form(at);
    if (element.textContent !== text) element.textContent = text;
  }
};
const zone = document.getElementById("zone");
if (zone) {
  zone.textContent = Intl.DateTimeFormat().resolvedOptions().timeZone || "of this browser";
  localize(document);
  for (const part of document.querySelectorAll("[data-hx-get]")) {
    new MutationObserver(() => localize(part)).observe(part, { childList: true, subtree: true, characterData: true });
  }
}

// On the map, what is pointed at or focused stands out, and its sentence is told below.
const map = document.querySelector(".map svg");
const told = document.getElementById("told");
if (map && told) {
  const quiet = told.textContent;
  const edges = [...map.querySelectorAll(".edge")];
  const light = (isLit) => {
    map.classList.toggle("lit", isLit !== null);
    for (const edge of edges) edge.classList.toggle("on", isLit !== null && isLit(edge));
  };
  const look = (event) => {
    const edge = event.target.closest(".edge");
    const pill = event.target.closest(".pill");
    if (edge) {
      light((one) => one === edge);
      told.textContent = edge.getAttribute("aria-label");
    } else if (pill) {
      const key = pill.dataset.node;
      light((one) => one.dataset.from === key || one.dataset.to === key);
      const calls = edges.filter((one) => one.dataset.from === key).length;
      const called = edges.filter((one) => one.dataset.to === key).length;
      told.textContent = `${pill.querySelector("title").textContent}: calls ${calls} services, called by ${called} callers`;
    } else {
      light(null);
      told.textContent = quiet;
    }
  };
  for (const name of ["mouseover", "focusin"]) map.addEventListener(name, look);
  for (const name of ["mouseleave", "focusout"]) map.addEventListener(name, () => { light(null); told.textContent = quiet; });
}
