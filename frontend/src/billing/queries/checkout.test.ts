import { expect, test } from "vitest";
import { stateOf } from "./checkout.js";

const pack = (status: string) => ({ status, mode: "payment" });

test.each([
  ["unknown", null, null],
  ["open", pack("open"), null],
  ["processing", pack("creating"), null],
  ["processing", pack("complete"), null],
  ["processing", pack("complete"), { status: "processing" }],
  ["pending", pack("processing"), { status: "processing" }],
  ["succeeded", pack("complete"), { status: "succeeded" }],
  ["succeeded", pack("open"), { status: "succeeded" }],
  ["succeeded", pack("complete"), { status: "partially_refunded" }],
  ["failed", pack("failed"), { status: "failed" }],
  ["failed", pack("open"), { status: "canceled" }],
  ["expired", pack("expired"), null],
  ["succeeded", { status: "complete", mode: "subscription" }, null],
])("a checkout is %s when our rows say %o and %o", (state, checkout, payment) => {
  expect(stateOf(checkout, payment)).toBe(state);
});
