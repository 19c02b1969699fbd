/** Pairs of rows and columns, by ascending row. */
export interface Assignment {
  readonly rows: Int32Array;
  readonly columns: Int32Array;
}

const UNASSIGNED = -1;

/** What the search keeps: dual potentials, the matching so far, and one shortest-path tree. */
interface State {
  readonly costs: ArrayLike<number>;
  readonly columns: number;
  readonly ofRow: Float64Array;
  readonly ofColumn: Float64Array;
  readonly columnOf: Int32Array;
  readonly rowOf: Int32Array;
  readonly shortest: Float64Array;
  readonly previousRow: Int32Array;
}

/** Dijkstra's search from a free row to the nearest free column over reduced costs. Among equals a free column comes
 * first, so that paths stay short. Updates the potentials. @throws when no free column can be reached */
function shortestPath(s: State, from: number): number {
  const { costs, columns, ofRow, ofColumn, rowOf, shortest, previousRow } = s;
  const remaining = Array.from({ length: columns }, (_, i) => columns - 1 - i);
  const seenRows: number[] = [];
  const seenColumns: number[] = [];
  shortest.fill(Number.POSITIVE_INFINITY);
  let distance = 0;
  let row = from;
  for (;;) {
    seenRows.push(row);
    let best = -1;
    let lowest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < remaining.length; i++) {
      const column = remaining[i];
      const through = distance + costs[row * columns + column] - ofRow[row] - ofColumn[column];
      if (through < shortest[column]) {
        previousRow[column] = row;
        shortest[column] = through;
      }
      if (shortest[column] < lowest || (shortest[column] === lowest && rowOf[column] === UNASSIGNED)) {
        lowest = shortest[column];
        best = i;
      }
    }
    if (lowest === Number.POSITIVE_INFINITY) return UNASSIGNED;
    distance = lowest;
    const column = remaining[best];
    if (rowOf[column] === UNASSIGNED) {
      updatePotentials(s, seenRows, seenColumns, from, distance);
      return column;
    }
    row = rowOf[column];
    seenColumns.push(column);
    remaining[best] = remaining[remaining.length - 1];
    remaining.pop();
  }
}

function updatePotentials(s: State, rows: number[], columns: number[], from: number, distance: number): void {
  s.ofRow[from] += distance;
  for (const row of rows) if (row !== from) s.ofRow[row] += distance - s.shortest[s.columnOf[row]];
  for (const column of columns) s.ofColumn[column] -= distance - s.shortest[column];
}

/** Turns the path's pairs round, from the free column back to the free row. */
function augment(s: State, from: number, sink: number): void {
  let column = sink;
  for (;;) {
    const row = s.previousRow[column];
    s.rowOf[column] = row;
    const next = s.columnOf[row];
    s.columnOf[row] = column;
    if (row === from) return;
    column = next;
  }
}

function transposed(costs: ArrayLike<number>, rows: number, columns: number): Float64Array {
  const turned = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) turned[c * rows + r] = costs[r * columns + c];
  return turned;
}

function check(costs: ArrayLike<number>, rows: number, columns: number): void {
  if (![rows, columns].every((count) => Number.isInteger(count) && count >= 0)) {
    throw new Error(
      `linearSumAssignment: rows and columns are whole numbers from 0 up; got ${rows} and ${columns}; count them`,
    );
  }
  if (costs.length !== rows * columns) {
    throw new Error(
      `linearSumAssignment: costs are rows times columns, ${rows} x ${columns}; got ${costs.length} numbers; give each pair one`,
    );
  }
  for (let i = 0; i < costs.length; i++) {
    if (costs[i] > Number.NEGATIVE_INFINITY) continue;
    throw new Error(
      `linearSumAssignment: costs are numbers or +Infinity; got ${costs[i]} at row ${Math.floor(i / columns)}, column ${i % columns}; find out where it comes from`,
    );
  }
}

/** The column of each row, where there are no more rows than columns; or the first row for which nothing is left. */
function columnsOfRows(costs: ArrayLike<number>, rows: number, columns: number): Int32Array | number {
  const state: State = {
    costs,
    columns,
    ofRow: new Float64Array(rows),
    ofColumn: new Float64Array(columns),
    columnOf: new Int32Array(rows).fill(UNASSIGNED),
    rowOf: new Int32Array(columns).fill(UNASSIGNED),
    shortest: new Float64Array(columns),
    previousRow: new Int32Array(columns).fill(UNASSIGNED),
  };
  for (let row = 0; row < rows; row++) {
    const sink = shortestPath(state, row);
    if (sink === UNASSIGNED) return row;
    augment(state, row, sink);
  }
  return state.columnOf;
}

/** The pairs of rows and columns, min(rows, columns) of them and none twice, whose costs sum to the least: exact, in
 * O(n^3). +Infinity forbids a pair. Of assignments that cost the same it finds scipy's. @shape costs [rows, columns],
 * row by row
 * @throws when a cost is NaN or -Infinity, or forbidden pairs leave no assignment
 * @source Crouse 2016, "On implementing 2D rectangular assignment algorithms"; scipy.optimize.linear_sum_assignment */
export function linearSumAssignment(costs: ArrayLike<number>, rows: number, columns: number): Assignment {
  check(costs, rows, columns);
  const tall = rows > columns;
  const found = tall
    ? columnsOfRows(transposed(costs, rows, columns), columns, rows)
    : columnsOfRows(costs, rows, columns);
  if (typeof found === 'number') {
    const [one, other] = tall ? ['column', 'row'] : ['row', 'column'];
    throw new Error(
      `linearSumAssignment: every ${one} has a ${other} that it may take; ${one} ${found} is left with costs of Infinity alone; allow it a pair`,
    );
  }
  const order = Int32Array.from(found.keys());
  if (!tall) return { rows: order, columns: found };
  order.sort((a, b) => found[a] - found[b]);
  return { rows: found.toSorted(), columns: order };
}
