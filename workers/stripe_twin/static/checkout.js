// Comfort only: groups the digits of the card, and keeps an impatient click from sending the form twice.
// The page works without it, and the twin pays a session once whatever arrives.
"use strict";

const number = document.getElementById("number");
if (number) {
  number.addEventListener("input", () => {
    const digits = number.value.replace(/\D/g, "").slice(0, 19);
    number.value = digits.replace(/(\d{4})(?=\d)/g, "$1 ");
  });
}

const expiry = document.getElementById("expiry");
if (expiry) {
  expiry.addEventListener("input", (event) => {
    const digits = expiry.value.replace(/\D/g, "");
    if (event.inputType !== "deleteContentBackward" && digits.length >= 2 && !expiry.value.includes("/")) {
      expiry.value = `${digits.slice(0, 2)} / ${digits.slice(2, 6)}`;
    }
  });
}

const form = document.getElementById("payment");
if (form) {
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", () => {
    button.disabled = true;
    button.setAttribute("aria-busy", "true");
    button.textContent = "Processing…";
  });
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) window.location.reload();
  });
}

const invalid = document.querySelector("[aria-invalid=true]");
if (invalid) invalid.focus();
