// The first rows of a table as they can be read: those of a wide one as columns, side by side.

const ROOM = 64; // signs that a line of the preview has room for
const ROWS = 4; // rows of the table, its head among them
const WIDEST = 14; // signs of a value; longer ones are cut

/** The fields of a line, with those in quotes whole; null where a quote is open at its end. */
export function fields(line: string): string[] | null {
  const found: string[] = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^",]*))(,|$)/y;
  for (;;) {
    const match = pattern.exec(line);
    if (!match) return null;
    found.push(match[1] === undefined ? match[2]! : match[1].replaceAll('""', '"'));
    if (match[3] === "") return found;
  }
}

/**
 * The text turned, so that each column is a line: its name, and its values in the first rows.
 * null where it is no table with names in its head, or not too wide as it is.
 */
export function turned(text: string): string | null {
  const lines = text.split(/\r?\n/).filter((line) => line !== "");
  if (lines.length < 2 || Math.max(...lines.map((line) => line.length)) <= ROOM) return null;
  const rows = lines.slice(0, ROWS).map(fields);
  const head = rows[0];
  if (!head || head.length < 6 || !/^[a-z]/i.test(head[0] ?? "")) return null;
  if (rows.some((row) => row?.length !== head.length)) return null;
  const cut = (value: string) => (value.length > WIDEST ? `${value.slice(0, WIDEST - 1)}…` : value);
  const cells = rows.map((row, at) => (at ? row!.map(cut) : head)); // names are never cut
  const widths = cells.map((row) => Math.max(...row.map((value) => value.length)));
  const line = (_: string, n: number) =>
    cells.map((row, at) => row[n]!.padEnd(widths[at]! + 2)).join("");
  return head
    .map(line)
    .map((one) => one.trimEnd())
    .join("\n");
}
