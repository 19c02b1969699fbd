import { afterAll, expect, it } from 'vitest';
import { type PublicFunction, publicFunctions } from './public-functions.ts';

const { functions, checker, close } = publicFunctions();
afterAll(close);

/** The orders that arguments of one type may stand in; what has none is given by name: a call that exchanges two of them compiles. */
const ORDERS: Readonly<Record<string, readonly string[]>> = {
  'what is judged or changed, then what it is held against': [
    'image reference',
    'image style',
    'prediction truth',
    'found truth',
    'of other',
  ],
  'the photograph, then what is laid over it': ['photograph heat', 'image labels'],
  'a place, then how many there are': ['index length', 'index count', 'step steps'],
  'where it begins, then where it ends': ['from to', 'start end'],
  "attention's and torch.nn.functional's": ['q k v', 'x weight bias', 'value weights'],
  "torch.nn's: what goes in, then what comes out": ['inputs outputs', 'width hidden', 'count width'],
  "a shape's axes": ['rows columns channels'],
  "a picture's": ['x y'],
  'what is drawn, then of what seed; from the outer loop inwards': [
    'count seed',
    'peak seed',
    'layer image points',
    'layer masks points',
  ],
  'texts: what it is about, then what is said of it': [
    'name expected found',
    'indexUrl project',
    'source name',
    'name text',
    'path id',
    'model variant',
    'rule message',
    'tag type',
  ],
  'the same whichever comes first': ['a b'],
};

const orders = Object.values(ORDERS)
  .flat()
  .map((each) => each.split(' '));

/** A parameter's name without the suffix that says a tensor's shape. */
const plain = (name: string): string => name.replace(/_[A-Za-z0-9]+$/, '');

/** Names of two parameters that a caller can exchange unnoticed, in the function's own order. */
function exchangeable({ parameters }: PublicFunction): [string, string][] {
  return parameters.flatMap((first, i) =>
    parameters
      .slice(i + 1)
      .filter(
        ({ type }) => checker.isTypeAssignableTo(first.type, type) && checker.isTypeAssignableTo(type, first.type),
      )
      .map(({ name }): [string, string] => [plain(first.name), plain(name)]),
  );
}

const inOrder = ([first, second]: [string, string]): boolean =>
  orders.some((order) => order.includes(first) && order.indexOf(second) > order.indexOf(first));

it('arguments of one type stand in an order that holds everywhere, or have names', () => {
  expect(functions.length).toBeGreaterThan(500);
  const wrong = functions.flatMap((each) =>
    exchangeable(each)
      .filter((pair) => !inOrder(pair))
      .map(([first, second]) => `${each.from}: ${each.name}(${first}, ${second})`),
  );
  expect(wrong).toEqual([]);
});

it('every order is one that some function has', () => {
  const pairs = functions.flatMap(exchangeable);
  const unused = orders.filter((order) => !pairs.some(([a, b]) => order.includes(a) && order.includes(b)));
  expect(unused).toEqual([]);
});
