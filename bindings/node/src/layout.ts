// The constants of native/layout.rs, which draws what crosses in packed form. A test compares the two lists.

export const VERSION = 4;

export const ENTRY_HEAD = 32;
export const KEY = 1;
export const VALUE_FLAG = 2;
export const TIMESTAMP = 4;
export const PARTITION = 8;
export const POSITION = 16;
export const ANSWER = 32;
export const MANY = 64;
export const MORE = 128;
export const NULL = 0xffff_ffff;

export const DONE = 1;
export const FAILED = 2;
export const VALUE = 3;
export const APPENDED = 4;
export const COMMITTED = 5;
export const READY = 6;
export const REFUSED = 7;
export const LINE = 8;
export const CELLS_MAX = 9;
export const MANY_CELLS = 7;

export const BATCH_HEAD = 24;
export const ROW = 16;
export const GROUP = 48;
