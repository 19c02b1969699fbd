/** Terms beyond x, after which the backward recurrence is settled. */
const TERMS_BEYOND = 60;
const LARGE = 1e200;

/** The Bessel function of the first kind and order one, for x above 0, to double precision and with exact operations alone.
 * @source Miller's backward recurrence, normalised by J0 + 2 J2 + 2 J4 + ... = 1 */
export function besselJ1(x: number): number {
  let above = 0;
  let current = 1;
  let evens = 0;
  let first = 0;
  for (let order = 2 * Math.ceil(x / 2) + TERMS_BEYOND; order > 0; order--) {
    const below = ((2 * order) / x) * current - above;
    above = current;
    current = below;
    // `current` is of order - 1 now.
    if (order === 2) first = current;
    if (order % 2 === 1) evens += order === 1 ? current : 2 * current;
    if (Math.abs(current) > LARGE) {
      above /= LARGE;
      current /= LARGE;
      evens /= LARGE;
      first /= LARGE;
    }
  }
  return first / evens;
}
