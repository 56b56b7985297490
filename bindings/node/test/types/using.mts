// Handles are closed, and an open transaction is aborted, by leaving their scope.
import { open } from "oncelog";

const dir = process.argv[2]!;
const ends: bigint[] = [];
let kept = "";
{
  await using engine = await open(dir);
  await engine.createTopic("t");
  await using producer = await engine.producer();
  await using transactional = await engine.transactionalProducer("x");
  {
    await using transaction = transactional.beginTransaction();
    transaction.send("t", { value: "aborted" });
  }
  ends.push(engine.partition("t", 0).bounds().end);
  producer.post("t", { value: "kept" });
}
{
  await using engine = await open(dir);
  await using consumer = engine.consumer({ topics: ["t"] });
  for await (const { value } of consumer) {
    kept = `${value}`;
    break;
  }
  ends.push(engine.partition("t", 0).bounds().end);
}
console.log(`${kept}; ${ends.join(" ")}`);
