// What a line of the bank's file means.

/** The account that a line names, if it gets that far: the key that keeps an account's lines in order. */
export function accountOf(line) {
  const first = line.indexOf(";");
  if (first < 0) return null;
  const second = line.indexOf(";", first + 1);
  const account = line.subarray(first + 1, second < 0 ? line.length : second);
  return account.length === 0 ? null : account;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const LARGEST = (1n << 64n) - 1n;
const SIGNS = new Map([["PRIJEM", 1n], ["VYDAJ", -1n], ["VYBER", -1n]]);
const INSIDE = new Set(["", "VKLAD", "VYBER", "VYBER KARTOU", "PREVOD Z UCTU"]);
const TRANSFER = "PREVOD NA UCET";

/** A transaction, understood; or an error that says why it cannot be. */
export class Row {
  constructor(line) {
    if (line.length === 0) throw new Error("empty line");
    const columns = text(line).split(";");
    if (columns.length !== 10) throw new Error(`${columns.length} columns instead of 10`);
    const [id, account, date, kind, operation, amount, , , bank, other] = columns;
    this.id = whole(id, "trans_id is not a number");
    this.account = whole(account, "account_id is not a number");
    checkDate(date);
    const sign = SIGNS.get(unquoted(kind));
    if (sign === undefined) throw new Error("unknown type");
    const name = unquoted(operation);
    if (name !== TRANSFER && !INSIDE.has(name)) throw new Error("unknown operation");
    /** Bank and account of the other side, if this is a transfer to another bank. */
    this.transfer = name === TRANSFER ? [unquoted(bank), unquoted(other)] : null;
    /** In hellers, hundredths of a crown; negative for a debit. */
    this.amount = sign * hellers(amount);
  }
}

function text(line) {
  try {
    return utf8.decode(line);
  } catch {
    throw new Error("not UTF-8 text");
  }
}

function whole(digits, reason) {
  if (!/^\+?[0-9]+$/.test(digits) || BigInt(digits.replace("+", "")) > LARGEST) throw new Error(reason);
  return BigInt(digits.replace("+", ""));
}

function checkDate(date) {
  const within = (part, last) => part >= 1 && part <= last;
  const day = /^[0-9]{6}$/.test(date) && within(Number(date.slice(2, 4)), 12) && within(Number(date.slice(4)), 31);
  if (!day) throw new Error("date is not a day as YYMMDD");
}

/** Text in quotes, or a column that is empty altogether. */
function unquoted(column) {
  if (column === "") return column;
  if (!column.startsWith('"')) throw new Error("text is not in quotes");
  if (column.length < 2 || !column.endsWith('"')) throw new Error("quotes do not close");
  return column.slice(1, -1);
}

function hellers(amount) {
  if (!/^[0-9]+\.[0-9]{2}$/.test(amount)) throw new Error("amount is not crowns with two decimals");
  return BigInt(amount.replace(".", ""));
}
