import { readFile } from 'node:fs/promises';
import { type Document, isNode, LineCounter, parseDocument } from 'yaml';

/** A recipe's text, and where its fields stand. */
export interface TextRecipe {
  readonly value: unknown;
  /** `path:line:column` of a field, or of what it would stand in. */
  placeOf(field: readonly PropertyKey[]): string;
}

function startOf(document: Document, field: readonly PropertyKey[]): number {
  for (let length = field.length; length > 0; length--) {
    const node = document.getIn(field.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return document.contents?.range?.[0] ?? 0;
}

/** For JSON.stringify: no field of a file is infinite, or no number. */
function finite(field: string, value: unknown): unknown {
  if (typeof value !== 'number' || Number.isFinite(value)) return value;
  throw new RangeError(`${field} = ${value}, which is not finite`);
}

/** Reads a recipe in YAML or JSON, which is YAML. @throws with path, line and column when it is neither */
export async function readTextRecipe(path: string): Promise<TextRecipe> {
  const lines = new LineCounter();
  const document = parseDocument(await readFile(path, 'utf8'), { lineCounter: lines });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${path}:${line}:${col}`;
  };
  const [error] = document.errors;
  if (error !== undefined) {
    const message = error.message.split(/ at line \d+, column \d+/)[0];
    throw new Error(`recipe: ${at(error.pos[0])}: a recipe is YAML or JSON; got ${message}; mend it`, { cause: error });
  }
  try {
    const value: unknown = document.toJS();
    // Of a value that holds itself nothing can be made.
    JSON.stringify(value, finite);
    return { value, placeOf: (field) => at(startOf(document, field)) };
  } catch (cause) {
    // Aliases of nothing, of too much, or of what they stand in.
    const [reason] = (cause as Error).message.split('\n');
    throw new Error(`recipe: ${path}: a recipe is YAML or JSON of plain values; got ${reason}; mend it`, { cause });
  }
}
