import { expect, test } from "vitest";
import { toCsv } from "./csv.js";

test("cells that a spreadsheet would run are made text, numbers stay numbers", () => {
  const cells = ["=SUM(A1)", "+1+2", "@cmd", "-cmd", "-12.5", "12.5", "\tx"];
  expect(toCsv([cells])).toBe("'=SUM(A1),'+1+2,'@cmd,'-cmd,-12.5,12.5,'\tx\r\n");
});

test("commas, quotes and line breaks are quoted", () => {
  expect(toCsv([["a,b", 'say "hi"', "two\nlines"]])).toBe('"a,b","say ""hi""","two\nlines"\r\n');
});
