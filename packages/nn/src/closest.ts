// Names may come from a file: time grows with both lengths and with their number.
const MOST_CHARACTERS = 200;
const MOST_NAMES = 2000;

/** How many single-character edits turn one word into the other (Levenshtein). */
function edits(first: string, second: string): number {
  const [a, b] = [first.slice(0, MOST_CHARACTERS), second.slice(0, MOST_CHARACTERS)];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1), row[j] + 1, next[j - 1] + 1);
    }
    row = next;
  }
  return row[b.length];
}

/** The `count` names most like the wanted one, for an error's "closest: ..."; the earlier of equals first. */
export function closest(wanted: string, names: readonly string[], count = 1): string[] {
  return names
    .slice(0, MOST_NAMES)
    .map((name) => ({ name, distance: edits(wanted, name) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ name }) => name);
}
