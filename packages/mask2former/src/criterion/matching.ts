/** Which queries stand for which targets of an image: pair i is queries[i] and targets[i]. */
export interface ImageMatching {
  readonly queries: Int32Array;
  readonly targets: Int32Array;
}

/** The matching of a batch, of each layer by itself. */
export interface Matching {
  /** Of the auxiliary layers in order and then of the last, for each image. */
  readonly layers: readonly (readonly ImageMatching[])[];
  /** Images that were left out, as something of theirs was not finite. */
  readonly skipped: readonly number[];
}
