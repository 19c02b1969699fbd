import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { modelCard } from './export/model-card.ts';
import { guardStream, printableLines, writeRaw } from './printed.ts';
import { table } from './terminal.ts';

const HOSTILE = 'sky\u001b[2J\u0007\u202e\u009b1m';

function collected(): { stream: NodeJS.WriteStream; text: () => string } {
  let text = '';
  const stream = new Writable({
    write(chunk, _, done) {
      text += String(chunk);
      done();
    },
  });
  return { stream: stream as unknown as NodeJS.WriteStream, text: () => text };
}

describe('what is printed', () => {
  it('has escapes in place of what a terminal would act on, and keeps its lines', () => {
    const { stream, text } = collected();
    guardStream(stream);
    stream.write(`a ${HOSTILE}\nb\tc\r\n`);
    expect(text()).toBe('a sky\\u001b[2J\\u0007\\u202e\\u009b1m\nb\\u0009c\\u000d\n');
    expect(printableLines('ü, 空, 🌳')).toBe('ü, 空, 🌳');
  });

  it('is still JSON where it was', () => {
    const value = { [HOSTILE]: `${HOSTILE}\n` };
    expect(JSON.parse(printableLines(JSON.stringify(value, null, 2)))).toEqual(value);
  });

  it('moves the cursor where we do', () => {
    const { stream, text } = collected();
    guardStream(stream);
    writeRaw(stream, '\r\u001b[2K');
    expect(text()).toBe('\r\u001b[2K');
  });

  it('keeps a name with a line break in its row', () => {
    expect(
      table([
        ['class', 'share'],
        ['sky\nfake  100 %', '3 %'],
      ]),
    ).toBe('class             share\nsky\\nfake  100 %  3 %');
  });
});

it('the model card has names as text, and commands of one word each', () => {
  const name = 'x`; rm -rf ~ `\n# y';
  const classes = ['<img src=x onerror=alert(1)>', '[a](http://b)', '| b |\n\n# c', '*d*'];
  const card = modelCard(
    name,
    {
      format: 1,
      segmentation: {
        file: 'seg.safetensors',
        timestep: 1,
        mergesRestoration: false,
        classes: classes.map((each) => ({ name: each, colour: [0, 0, 0] })),
        head: {},
        fusion: { taps: [], channels: 1, groups: 1 },
      },
    },
    [{ path: 'a`|b.safetensors', numbers: 1, bytes: 1, files: 1, error: 0 }],
    'F32',
  );
  expect(card).toContain('# x\\`; rm -rf \\~ \\`\\\\n\\# y\n');
  expect(card).toContain("rass segment photos/ --model 'x_; rm -rf ~ _\\n# y' --out results");
  expect(card).toContain(
    '\\<img src=x onerror=alert\\(1\\)\\>, \\[a\\]\\(http://b\\), \\| b \\|\\\\n\\\\n\\# c, \\*d\\*.',
  );
  expect(card).toContain('| a\\`\\|b.safetensors | 1 |');
});
