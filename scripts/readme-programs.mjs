// What a README tells its reader to do: the command that installs, and the programs, in the order of the page.

const FENCED = /```(tsx?)( no-run)?\n([\s\S]*?)```(?:\s*```text\n([\s\S]*?)```)?/g;
const INSTALL = /^npm install (?!-g)(.*)$/gm;

/** @returns {{ code: string, extension: string, runs: boolean, printed?: string }[]} `printed` is the text block right after a program */
export function programsOf(readme) {
  return [...readme.matchAll(FENCED)].map(([, extension, noRun, code, printed]) => ({
    code,
    extension,
    runs: noRun === undefined,
    printed: noRun === undefined ? printed : undefined,
  }));
}

/** @returns {string[]} the packages of each `npm install` in a block of its own, without versions */
export function installedBy(readme) {
  const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text);
  const lines = blocks.flatMap((text) => [...text.matchAll(INSTALL)].map(([, packages]) => packages.split('#')[0]));
  const words = lines.flatMap((line) => line.split(/\s+/).filter((word) => word !== '' && !word.startsWith('-')));
  return words.map((word) => word.replace(/(?<=.)@[^/]*$/, ''));
}
