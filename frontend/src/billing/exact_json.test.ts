import { expect, test } from "vitest";
import { parseExactJson } from "./exact_json.js";

test("numbers keep every digit they were sent with", () => {
  expect(
    parseExactJson('{"a": 12345678901234.123456, "b": [0.10, -3], "c": "x", "d": true, "e": null}'),
  ).toEqual({
    a: "12345678901234.123456",
    b: ["0.10", "-3"],
    c: "x",
    d: true,
    e: null,
  });
});

test("text that is not JSON gives null", () => {
  expect(parseExactJson("not json")).toBeNull();
});
