import { expect, it } from 'vitest';
import { parseJson } from './parse-json.ts';

it('parses what JSON.parse does', () => {
  for (const text of [
    '{"a": [1, "x\\"[[[", {"b\\\\": null}], "__prot": 1}',
    '3',
    '"[{"',
    `${'['.repeat(100)}${']'.repeat(100)}`,
  ]) {
    expect(parseJson(text)).toEqual(JSON.parse(text));
  }
});

it.each([
  [`${'['.repeat(101)}${']'.repeat(101)}`, 'values nest at most 100 deep'],
  [`${'{"a":'.repeat(200_000)}`, 'values nest at most 100 deep'],
  ['{"a": {"__proto__": {}}}', 'a key is a name; "__proto__" is none'],
  ['{"\\u005f_proto__": 1}', 'a key is a name; "__proto__" is none'],
  ['{"__pr\\u006fto__": 1}', 'a key is a name; "__proto__" is none'],
  ['{"a": NaN}', 'not valid JSON'],
  ['version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n', 'a Git LFS pointer; fetch the file itself'],
  ['\n<!DOCTYPE html><title>404</title>', 'a web page or XML; the download went wrong'],
  ['', 'an empty file'],
])('refuses %.40s', (text, message) => {
  expect(() => parseJson(text)).toThrow(message);
  expect(() => parseJson(text)).toThrow(SyntaxError);
});
