import { matMul, mul, reshape, sum, type Tensor, transpose, util } from '@tensorflow/tfjs-core';

interface Term {
  labels: string;
  tensor: Tensor;
}

const sizeOf = util.sizeFromShape;

function parse(equation: string, tensors: readonly Tensor[]): { terms: Term[]; result: string } {
  const [left, result, ...more] = equation.replace(/\s/g, '').split('->');
  const operands = (left ?? '').split(',');
  const fault = (rule: string): Error =>
    new Error(`einsum: ${rule}; got "${equation}" for ${tensors.length} tensor(s)`);
  if (result === undefined || more.length > 0) throw fault('the equation must have exactly one "->"');
  if (equation.includes('...')) throw fault('an ellipsis is not supported');
  if (operands.length !== tensors.length) throw fault('each tensor must have its term');
  if (tensors.length > 2) throw fault('one or two tensors are supported');
  for (const [i, labels] of operands.entries()) {
    if (new Set(labels).size !== labels.length) throw fault('a label may occur once in a term');
    if (labels.length !== tensors[i].rank)
      throw fault(`term ${i} must have one label for each axis of [${tensors[i].shape}]`);
  }
  for (const label of result) if (!left.includes(label)) throw fault(`label ${label} of the result must be in a term`);
  return { terms: operands.map((labels, i) => ({ labels, tensor: tensors[i] })), result };
}

function arranged({ labels, tensor }: Term, order: string): Tensor {
  const permutation = [...order].map((label) => labels.indexOf(label));
  return permutation.every((axis, i) => axis === i) ? tensor : transpose(tensor, permutation);
}

/** Sums the axes away whose labels nobody else has. */
function reduced({ labels, tensor }: Term, wanted: string): Term {
  const axes = [...labels].flatMap((label, axis) => (wanted.includes(label) ? [] : [axis]));
  if (axes.length === 0) return { labels, tensor };
  return { labels: [...labels].filter((label) => wanted.includes(label)).join(''), tensor: sum(tensor, axes) };
}

const shapeOf = ({ labels, tensor }: Term, wanted: string): number[] =>
  [...wanted].map((label) => tensor.shape[labels.indexOf(label)]);

/** One batched matrix product: shared labels that stay are the batch, shared labels that go are summed over. */
function contracted(a: Term, b: Term, result: string): Tensor {
  const only = (labels: string, test: (label: string) => boolean): string => [...labels].filter(test).join('');
  const batch = only(a.labels, (label) => b.labels.includes(label) && result.includes(label));
  const inner = only(a.labels, (label) => b.labels.includes(label) && !result.includes(label));
  const rows = only(a.labels, (label) => !b.labels.includes(label));
  const columns = only(b.labels, (label) => !a.labels.includes(label));
  for (const label of batch + inner) {
    const [left, right] = [shapeOf(a, label)[0], shapeOf(b, label)[0]];
    if (left !== right) throw new Error(`einsum: axis ${label} must have one length; got ${left} and ${right}`);
  }
  const batchShape = shapeOf(a, batch);
  const [batchSize, innerSize] = [sizeOf(batchShape), sizeOf(shapeOf(a, inner))];
  const [rowShape, columnShape] = [shapeOf(a, rows), shapeOf(b, columns)];
  const outer = [...batchShape, ...rowShape, ...columnShape];
  const left = arranged(a, batch + rows + inner);
  const right = arranged(b, batch + columns + inner);
  const product =
    inner === ''
      ? mul(reshape(left, [batchSize, sizeOf(rowShape), 1]), reshape(right, [batchSize, 1, sizeOf(columnShape)]))
      : matMul(
          reshape(left, [batchSize, sizeOf(rowShape), innerSize]),
          reshape(right, [batchSize, sizeOf(columnShape), innerSize]),
          false,
          true,
        );
  return arranged({ labels: batch + rows + columns, tensor: reshape(product, outer) }, result);
}

/** Einstein sum of one or two tensors as a single matrix product: no tensor with all the labels is ever made. */
export function composedEinsum(equation: string, tensors: readonly Tensor[]): Tensor {
  const { terms, result } = parse(equation, tensors);
  const [a, b] = terms.map((term, i) => {
    const elsewhere = terms.flatMap(({ labels }, j) => (i === j ? [] : [labels])).join('');
    return reduced(term, elsewhere + result);
  });
  return b === undefined ? arranged(a, result).clone() : contracted(a, b, result);
}
