/** An element of the page by its id. @throws when the page has none of that kind */
export function element<T extends Element>(id: string, kind: abstract new (...args: never[]) => T): T {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`page: it has a ${kind.name} "${id}"; got ${found?.constructor.name ?? 'nothing'}; see index.html`);
}
