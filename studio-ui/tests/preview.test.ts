import assert from "node:assert/strict";
import { test } from "node:test";
import { fields, turned } from "../src/core/preview.ts";

test("fields in quotes stay whole", () => {
  assert.deepEqual(fields('1,"a, ""b""",,c'), ["1", 'a, "b"', "", "c"]);
  assert.deepEqual(fields(""), [""]);
  assert.equal(fields('1,"open'), null);
});

test("a wide table is shown with its columns as lines, all of them in sight", () => {
  const names = [
    "frame",
    "name",
    "x_px",
    "y_px",
    "width_px",
    "height_px",
    "a_rather_long_name_of_a_column",
  ];
  const rows = [0, 1, 2, 3, 4].map((n) =>
    [n, '"one, two"', 1.5, n * 100, "", 7, "x".repeat(20)].join(","),
  );
  const shown = turned([names.join(","), ...rows].join("\r\n"))!.split("\n");
  assert.equal(shown.length, names.length);
  assert.deepEqual(shown[0]!.split(/ {2,}/), ["frame", "0", "1", "2"]);
  assert.deepEqual(shown[1]!.split(/ {2,}/), ["name", "one, two", "one, two", "one, two"]);
  assert.ok(shown[6]!.startsWith("a_rather_long_name_of_a_column  xxxxxxxxxxxxx…  x"));
  assert.ok(shown.every((line) => line.length <= 80));
});

test("what is narrow, has no names or is no table stays as it is", () => {
  assert.equal(turned("a,b,c,d,e,f\n1,2,3,4,5,6"), null);
  const wide = (first: string) =>
    [first, ...Array.from({ length: 20 }, (_, n) => `${n}000`)].join(",");
  assert.equal(turned(`${wide("1")}\n${wide("1")}`), null); // numbers alone, as of MOT
  assert.equal(turned(`${wide("a")}\n${wide("1")},more`), null);
  assert.equal(turned(`{"images": [${" ".repeat(80)}]}\n{}`), null);
});
