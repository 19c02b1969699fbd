import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import crc32c from 'crc-32/crc32c.js';

/** A picture of an event. */
export interface EventImage {
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
}

/** One of TensorBoard's events, as far as training writes them. */
export type EventContent =
  | { readonly fileVersion: string }
  /** Events of this step and later ones in older files count no more. */
  | { readonly start: true }
  | { readonly scalars: Readonly<Record<string, number>> }
  | { readonly images: Readonly<Record<string, EventImage>> };

/** Numbers of the fields in tensorboard/compat/proto: event.proto, summary.proto. */
const EVENT = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const VALUE = { tag: 1, simpleValue: 2, image: 4 } as const;
const IMAGE = { height: 1, width: 2, colourSpace: 3, encoded: 4 } as const;
const SUMMARY_VALUE = 1;
const SESSION_STATUS = 1;
const SESSION_START = 1;
const RGB = 3;

function message(writer: BinaryWriter, field: number, fill: (inner: BinaryWriter) => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  fill(writer);
  writer.join();
}

function summaryValue(summary: BinaryWriter, tag: string, fill: (value: BinaryWriter) => void): void {
  message(summary, SUMMARY_VALUE, (value) => {
    value.tag(VALUE.tag, WireType.LengthDelimited).string(tag);
    fill(value);
  });
}

function writeContent(event: BinaryWriter, content: EventContent): void {
  if ('fileVersion' in content) {
    event.tag(EVENT.fileVersion, WireType.LengthDelimited).string(content.fileVersion);
  } else if ('start' in content) {
    message(event, EVENT.sessionLog, (log) => log.tag(SESSION_STATUS, WireType.Varint).int32(SESSION_START));
  } else if ('scalars' in content) {
    message(event, EVENT.summary, (summary) => {
      for (const [tag, number] of Object.entries(content.scalars)) {
        summaryValue(summary, tag, (value) => value.tag(VALUE.simpleValue, WireType.Bit32).float(number));
      }
    });
  } else {
    message(event, EVENT.summary, (summary) => {
      for (const [tag, { width, height, png }] of Object.entries(content.images)) {
        summaryValue(summary, tag, (value) =>
          message(value, VALUE.image, (image) => {
            image.tag(IMAGE.height, WireType.Varint).int32(height);
            image.tag(IMAGE.width, WireType.Varint).int32(width);
            image.tag(IMAGE.colourSpace, WireType.Varint).int32(RGB);
            image.tag(IMAGE.encoded, WireType.LengthDelimited).bytes(png);
          }),
        );
      }
    });
  }
}

/** An Event of TensorBoard as a protocol buffer. `wallTime` is in seconds since 1970. */
export function encodeEvent(step: number, wallTime: number, content: EventContent): Uint8Array {
  const event = new BinaryWriter();
  event.tag(EVENT.wallTime, WireType.Bit64).double(wallTime);
  event.tag(EVENT.step, WireType.Varint).int64(step);
  writeContent(event, content);
  return event.finish();
}

/** CRC32C as TFRecord stores it: turned and shifted, since a check sum of data that holds check sums tells little. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c.buf(bytes) >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** One record of a TFRecord file: length, its check sum, the data, its check sum. */
export function encodeRecord(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.byteLength + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.byteLength), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.byteLength, maskedCrc(data), true);
  return record;
}
