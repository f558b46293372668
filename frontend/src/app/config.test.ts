import { expect, test } from "vitest";
import { readConfig } from "./config.js";

const file = {
  supabaseUrl: "http://127.0.0.1:54321/",
  supabasePublishableKey: "sb_publishable_x",
  workersUrl: "https://example.com/functions/",
};

test("addresses lose their last slash and what is optional has a default", () => {
  expect(readConfig(file)).toEqual({
    supabaseUrl: "http://127.0.0.1:54321",
    supabasePublishableKey: "sb_publishable_x",
    workersUrl: "https://example.com/functions",
    stripePublishableKey: "",
    stripeScriptUrl: "",
    mode: "stripe",
  });
});

test.each([null, [], {}, { ...file, workersUrl: "no address" }, { ...file, supabasePublishableKey: 1 }])(
  "%o is refused",
  (value) => {
    expect(() => readConfig(value)).toThrow();
  },
);
