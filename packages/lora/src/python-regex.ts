/** What Python's inline flags are in JavaScript. `a` and `u` change nothing here: paths are ASCII. */
const FLAGS: Readonly<Record<string, string>> = { i: 'i', m: 'm', s: 's', a: '', u: '' };

/** Escapes of Python that JavaScript spells otherwise. `^` and `$` depend on the flags, so that these do not use them. */
const ESCAPES: Readonly<Record<string, string>> = { A: '(?<![\\s\\S])', Z: '(?![\\s\\S])', a: '\\x07' };
const SAME_ESCAPES = 'bBdDfnrsStvwW';
const IN_CLASS = 'bdDfnrsStvwW';

const HEX: Readonly<Record<string, number>> = { x: 2, u: 4 };

/** Reads a regular expression of Python's from its start. */
class Translation {
  readonly #where: string;
  readonly #source: string;
  #at = 0;
  #out = '';

  constructor(where: string, source: string) {
    this.#where = where;
    this.#source = source;
  }

  run(end: string): RegExp {
    const [, flags = ''] = /^\(\?([a-zA-Z]+)\)/.exec(this.#source) ?? [];
    if (flags !== '') this.#at = flags.length + 3;
    const unknown = [...flags].find((flag) => !Object.hasOwn(FLAGS, flag));
    if (unknown !== undefined) this.#refuse(`the flag (?${unknown})`);
    while (this.#at < this.#source.length) this.#step();
    const own = new Set([...flags].map((flag) => FLAGS[flag]));
    try {
      return new RegExp(`^(?:${this.#out})${end}`, [...own].join(''));
    } catch (cause) {
      throw new Error(
        `lora: ${this.#where}: a regular expression is one that Python reads; got "${this.#source}", "${(cause as Error).message}"; look at it`,
        { cause },
      );
    }
  }

  #refuse(what: string, remedy = 'write it without'): never {
    throw new Error(
      `lora: ${this.#where}: a regular expression is one that Python reads and JavaScript can; got "${this.#source}", with ${what}; ${remedy}`,
    );
  }

  /** The match of a sticky expression at the place that is read. */
  #match(expression: RegExp): RegExpExecArray | null {
    expression.lastIndex = this.#at;
    return expression.exec(this.#source);
  }

  #take(count: number, as?: string): void {
    this.#out += as ?? this.#source.slice(this.#at, this.#at + count);
    this.#at += count;
  }

  #step(): void {
    const char = this.#source[this.#at];
    if (char === '\\') this.#escape(SAME_ESCAPES, ESCAPES);
    else if (char === '[') this.#characterClass();
    else if (char === '(' && this.#source[this.#at + 1] === '?') this.#extension();
    else if (char === '*' || char === '+' || char === '?' || char === '{') this.#repeat();
    else this.#take(1);
  }

  #escape(same: string, other: Readonly<Record<string, string>>): void {
    const letter = this.#source[this.#at + 1];
    if (letter === undefined) this.#refuse('a backslash at its end');
    const hex = this.#match(/\\([xu])([0-9a-fA-F]{2,4})/y);
    if (hex !== null && hex[2].length >= HEX[hex[1]]) this.#take(2 + HEX[hex[1]]);
    else if (Object.hasOwn(other, letter)) this.#take(2, other[letter]);
    else if (/[a-zA-Z]/.test(letter) && !same.includes(letter)) this.#refuse(`\\${letter}`);
    else this.#take(2);
  }

  #characterClass(): void {
    // Right after its start a bracket is a character.
    const [start] = this.#match(/\[\^?\]?/y) as RegExpExecArray;
    this.#take(start.length, start.replace(']', '\\]'));
    while (this.#at < this.#source.length && this.#source[this.#at] !== ']') {
      if (this.#source[this.#at] === '\\') this.#escape(IN_CLASS, { a: '\\x07' });
      else this.#take(1);
    }
    if (this.#at >= this.#source.length) this.#refuse('a [ that is not closed');
    this.#take(1);
  }

  /** What begins with `(?`. */
  #extension(): void {
    const named = this.#match(/\(\?P<(\w+)>/y);
    const back = this.#match(/\(\?P=(\w+)\)/y);
    const comment = this.#match(/\(\?#[^)]*\)/y);
    const plain = this.#match(/\(\?(?::|=|!|<=|<!|[ims]+:|[ims]*-[ims]+:)/y);
    if (named !== null) this.#take(named[0].length, `(?<${named[1]}>`);
    else if (back !== null) this.#take(back[0].length, `\\k<${back[1]}>`);
    else if (comment !== null) this.#take(comment[0].length, '');
    else if (plain !== null) this.#take(plain[0].length);
    else if (this.#match(/\(\?</y) !== null) this.#refuse("(?<, which is JavaScript's", 'write (?P<name>...)');
    else this.#refuse(this.#source.slice(this.#at, this.#at + 3));
  }

  #repeat(): void {
    const counts = this.#match(/\{(\d*)(,?)(\d*)\}/y);
    const start = this.#at;
    if (counts !== null && counts[1] + counts[2] !== '')
      this.#take(counts[0].length, `{${counts[1] || '0'}${counts[2]}${counts[3]}}`);
    else if (this.#source[this.#at] !== '{') this.#take(1);
    else {
      this.#take(1, '\\{');
      return;
    }
    if (this.#source[this.#at] === '+')
      this.#refuse(`${this.#source.slice(start, this.#at + 1)}, which gives nothing back`);
    if (this.#source[this.#at] === '?') this.#take(1);
  }
}

/** A regular expression of Python's, such as PEFT's configurations have them: for a whole text, or with `isStart` for its start.
 * @throws by name on what JavaScript cannot do, and on what Python does not read */
export const pythonRegExp = (where: string, source: string, { isStart = false } = {}): RegExp =>
  new Translation(where, source).run(isStart ? '' : '$');
