// The 3-D Secure challenge within a merchant's page: says when it is answered, and fails it when the dialog around it is left.
"use strict";

const isAnswered = document.currentScript.hasAttribute("data-answered");
const fail = document.querySelector("button[value=fail]");

function leave() {
  if (fail) fail.click();
}

window.addEventListener("message", (event) => {
  if (event.source === window.parent && event.data?.stripeTwin === "leave") leave();
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") leave();
});

if (isAnswered) window.parent.postMessage({ stripeTwin: "answered" }, "*");
else document.querySelector("button[value=complete]")?.focus();
