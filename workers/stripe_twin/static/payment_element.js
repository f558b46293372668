// Within the Payment Element's frame: takes a card or a bank account and gives the page around it a payment method's id.
"use strict";

const byId = (id) => document.getElementById(id);
const fields = { number: byId("number"), expiry: byId("expiry"), cvc: byId("cvc"), holder: byId("holder"), account: byId("account") };
const BANKS = { sepa_debit: "SEPA Direct Debit", us_bank_account: "US bank account" };
const VARIABLES = ["borderRadius", "colorBackground", "colorDanger", "colorPrimary", "colorText", "colorTextSecondary", "fontFamily", "fontSizeBase"];
let facts = null;
/** What the customer pays with: `card`, a type of bank account, or the id of a saved card. */
let chosen = "card";

function say(message) {
  window.parent.postMessage(message, "*"); // no secret is in any message: numbers go to the twin, ids come out
}

// ---- checks ----------------------------------------------------------------------------------------------

const digitsOf = (text) => text.replace(/\D/g, "");

function passesLuhn(digits) {
  let total = 0;
  [...digits].reverse().forEach((digit, position) => {
    const value = Number(digit) * (position % 2 ? 2 : 1);
    total += value > 9 ? value - 9 : value;
  });
  return digits.length >= 12 && total % 10 === 0;
}

function expiryOf(text) {
  const match = /^(\d{1,2})\s*\/?\s*(\d{2}|20\d{2})$/.exec(text.trim());
  return match === null ? null : { month: Number(match[1]), year: Number(match[2]) % 100 };
}

const CHECKS = {
  number: (text) => {
    const digits = digitsOf(text);
    if (digits.length < 14) return "Your card number is incomplete.";
    return passesLuhn(digits) ? null : "Your card number is invalid.";
  },
  expiry: (text) => {
    const date = expiryOf(text);
    if (date === null) return "Your card's expiration date is incomplete.";
    if (date.month < 1 || date.month > 12) return "Your card's expiration month is invalid.";
    const today = new Date();
    const isPast = date.year * 12 + date.month < (today.getFullYear() % 100) * 12 + today.getMonth() + 1;
    return isPast ? "Your card's expiration year is in the past." : null;
  },
  cvc: (text) => {
    const length = /^3[47]/.test(digitsOf(fields.number.value)) ? 4 : 3;
    return digitsOf(text).length === length ? null : "Your card's security code is incomplete.";
  },
  holder: (text) => (text.trim() ? null : "Enter the name of the account's holder."),
  account: (text) => (text.trim() ? null : "Enter the number of your account."),
};

function namesOfFields() {
  if (chosen === "card") return ["number", "expiry", "cvc"];
  return chosen in BANKS ? ["holder", "account"] : [];
}

function show(name, problem) {
  const note = byId(`${name}-note`);
  note.textContent = problem ?? "";
  note.hidden = problem === null;
  fields[name].setAttribute("aria-invalid", String(problem !== null));
  if (problem === null) fields[name].removeAttribute("aria-describedby");
  else fields[name].setAttribute("aria-describedby", note.id);
}

/** Shows what is wrong with the fields in use, goes to the first of them, and returns its problem. */
function check() {
  const problems = namesOfFields().map((name) => ({ name, problem: CHECKS[name](fields[name].value) }));
  for (const { name, problem } of problems) show(name, problem);
  const first = problems.find(({ problem }) => problem !== null);
  if (first === undefined) return null;
  fields[first.name].focus();
  return first.problem;
}

function tellState() {
  const names = namesOfFields();
  say({
    stripeTwin: "change",
    state: {
      complete: names.every((name) => CHECKS[name](fields[name].value) === null),
      empty: names.length > 0 && names.every((name) => fields[name].value === ""),
      type: chosen in BANKS ? chosen : "card",
    },
  });
}

// ---- what the page around asks for -----------------------------------------------------------------------

async function post(params) {
  const body = new URLSearchParams({ ...params, key: facts.key, _stripe_version: facts.version });
  const response = await fetch("/v1/payment_methods", { method: "POST", body });
  return response.json();
}

function paramsOfMethod() {
  if (chosen === "card") {
    const { month, year } = expiryOf(fields.expiry.value);
    return {
      type: "card",
      "card[number]": digitsOf(fields.number.value),
      "card[exp_month]": month,
      "card[exp_year]": 2000 + year,
      "card[cvc]": digitsOf(fields.cvc.value),
    };
  }
  const number = chosen === "sepa_debit" ? "iban" : "account_number";
  const routing = chosen === "sepa_debit" ? {} : { "us_bank_account[routing_number]": "110000000" };
  return {
    type: chosen,
    [`${chosen}[${number}]`]: fields.account.value.trim(),
    ...routing,
    "billing_details[name]": fields.holder.value.trim(),
  };
}

const FIELD_OF_PARAM = { number: "number", exp_month: "expiry", exp_year: "expiry", cvc: "cvc" };

async function collect() {
  const problem = check();
  if (problem !== null) return { error: { type: "validation_error", message: problem } };
  if (chosen !== "card" && !(chosen in BANKS)) return { paymentMethod: chosen, save: false };
  let answer;
  try {
    answer = await post(paramsOfMethod());
  } catch {
    return { error: { type: "api_connection_error", message: "The payment service could not be reached. Try again." } };
  }
  if (answer.error) {
    const name = chosen === "card" ? (FIELD_OF_PARAM[answer.error.param] ?? "number") : "account";
    show(name, answer.error.message);
    fields[name].focus();
    return { error: answer.error };
  }
  return { paymentMethod: answer.id, object: answer, save: chosen === "card" && byId("save").checked };
}

// ---- drawing ---------------------------------------------------------------------------------------------

function choice(value, label, aside) {
  const row = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "method";
  radio.value = value;
  radio.checked = value === chosen;
  radio.addEventListener("change", () => choose(value));
  row.append(radio, label);
  if (aside) {
    const note = document.createElement("span");
    note.className = "aside";
    note.textContent = aside;
    row.append(note);
  }
  return row;
}

function choose(value) {
  chosen = value;
  const isBank = value in BANKS;
  byId("card").hidden = value !== "card";
  byId("bank").hidden = !isBank;
  byId("account-label").textContent = value === "sepa_debit" ? "IBAN" : "Account number";
  byId("saving").hidden = !facts.offersSaving;
  const hinted = isBank ? facts.accounts.filter((one) => one.kind === value) : value === "card" ? facts.cards : [];
  byId("any").hidden = isBank;
  byId("hints").hidden = hinted.length === 0;
  byId("numbers").replaceChildren(...hinted.map(({ number, hint }) => rowOf(number, hint)));
  tellState();
}

function rowOf(number, hint) {
  const row = document.createElement("tr");
  const code = document.createElement("code");
  code.textContent = number.replace(/(\d{4})(?=\d)/g, "$1 ");
  for (const content of [code, hint]) {
    const cell = document.createElement("td");
    cell.append(content);
    row.append(cell);
  }
  return row;
}

function paint(appearance) {
  const root = document.documentElement;
  root.classList.toggle("night", appearance?.theme === "night");
  for (const name of VARIABLES) {
    const value = appearance?.variables?.[name];
    if (typeof value === "string") root.style.setProperty(`--${name}`, value);
    else root.style.removeProperty(`--${name}`);
  }
}

function setUp(given) {
  facts = given;
  paint(facts.appearance);
  const saved = facts.saved.map(({ id, card }) => {
    const brand = card.brand.charAt(0).toUpperCase() + card.brand.slice(1);
    return [id, `${brand} •••• ${card.last4}`, `Expires ${String(card.expMonth).padStart(2, "0")} / ${card.expYear % 100}`];
  });
  const types = facts.types.filter((type) => type === "card" || type in BANKS);
  const fresh = types.map((type) => [type, type === "card" ? (saved.length ? "New card" : "Card") : BANKS[type]]);
  const choices = [...saved, ...fresh];
  chosen = choices[0][0];
  byId("choices").replaceChildren(...choices.map(([value, label, aside]) => choice(value, label, aside)));
  byId("methods").hidden = choices.length < 2;
  byId("element").hidden = false;
  choose(chosen);
  say({ stripeTwin: "ready" });
}

// ---- listening -------------------------------------------------------------------------------------------

window.addEventListener("message", async ({ data, source }) => {
  if (source !== window.parent || typeof data?.stripeTwin !== "string") return;
  const { stripeTwin: what, request } = data;
  if (what === "setup") setUp(data.facts);
  else if (what === "appearance") paint(data.appearance);
  else if (what === "focus") (document.querySelector("input:checked") ?? fields.number).focus();
  else if (what === "clear") {
    for (const field of Object.values(fields)) field.value = "";
    tellState();
  } else if (what === "collect") say({ stripeTwin: "result", request, result: await collect() });
  else if (what === "validate") {
    const problem = check();
    say({ stripeTwin: "result", request, result: problem === null ? {} : { error: { type: "validation_error", message: problem } } });
  }
});

fields.number.addEventListener("input", () => {
  fields.number.value = digitsOf(fields.number.value).slice(0, 19).replace(/(\d{4})(?=\d)/g, "$1 ");
});
fields.expiry.addEventListener("input", (event) => {
  const digits = digitsOf(fields.expiry.value);
  if (event.inputType !== "deleteContentBackward" && digits.length >= 2 && !fields.expiry.value.includes("/")) {
    fields.expiry.value = `${digits.slice(0, 2)} / ${digits.slice(2, 6)}`;
  }
});
for (const [name, field] of Object.entries(fields)) {
  field.addEventListener("input", () => {
    show(name, null);
    tellState();
  });
  field.addEventListener("blur", () => {
    if (field.value !== "") show(name, CHECKS[name](field.value));
  });
}
byId("element").addEventListener("submit", (event) => event.preventDefault());
window.addEventListener("focus", () => say({ stripeTwin: "focus" }));
window.addEventListener("blur", () => say({ stripeTwin: "blur" }));
document.addEventListener("keydown", ({ key }) => key === "Escape" && say({ stripeTwin: "escape" }));
new ResizeObserver(() => {
  say({ stripeTwin: "height", pixels: Math.ceil(document.querySelector("main").getBoundingClientRect().height) });
}).observe(document.querySelector("main"));

say({ stripeTwin: "loaded" });
