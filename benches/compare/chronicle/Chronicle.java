// Chronicle Queue, in a process of its own as every engine: Chronicle JOB DIRECTORY RECORDS. Before the clock runs its
// code is made warm on a queue beside it.

import java.io.File;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.stream.Stream;
import net.openhft.chronicle.bytes.Bytes;
import net.openhft.chronicle.queue.ChronicleQueue;
import net.openhft.chronicle.queue.ExcerptAppender;
import net.openhft.chronicle.queue.ExcerptTailer;
import net.openhft.chronicle.queue.impl.single.SingleChronicleQueueBuilder;
import net.openhft.chronicle.wire.DocumentContext;

public class Chronicle {
    static final int SIZE = 100;
    /** As in values.rs, drawn in the same way. */
    static final int POOL = 4096;
    static final int WARM = 1_000_000;

    public static void main(String[] arguments) throws Exception {
        String job = arguments[0];
        Path dir = Path.of(arguments[1]);
        int records = Integer.parseInt(arguments[2]);
        Bytes<?>[] pool = pool();
        Path warm = dir.resolve("warm");
        for (int round = 0; round < 2; round++) {
            try (ChronicleQueue queue = open(warm)) {
                append(queue, pool, WARM);
                scan(queue);
            }
            remove(warm);
        }
        long processor = processor();
        long begin, end;
        try (ChronicleQueue queue = open(dir.resolve("queue"))) {
            ExcerptAppender appender = queue.createAppender();
            ExcerptTailer tailer = queue.createTailer();
            begin = System.nanoTime();
            if (job.equals("scan")) {
                long[] seen = scan(tailer);
                end = System.nanoTime();
                check(seen, pool, records);
            } else {
                append(appender, pool, records);
                end = System.nanoTime();
            }
        }
        processor = processor() - processor;
        System.out.println("\nfigure=" + records * 1e9 / (end - begin) + " processor=" + processor / 1e3 / records);
    }

    static ChronicleQueue open(Path dir) {
        return SingleChronicleQueueBuilder.binary(dir.toFile()).blockSize(256 << 20).build();
    }

    static void append(ChronicleQueue queue, Bytes<?>[] pool, int records) {
        append(queue.createAppender(), pool, records);
    }

    static void append(ExcerptAppender appender, Bytes<?>[] pool, int records) {
        for (int i = 0; i < records; i++) {
            Bytes<?> value = pool[i % (POOL - 1)];
            value.readPositionRemaining(0, SIZE);
            appender.writeBytes(value);
        }
    }

    static long[] scan(ChronicleQueue queue) {
        return scan(queue.createTailer());
    }

    /** How many records there were, and the sum of the first eight bytes of each. */
    static long[] scan(ExcerptTailer tailer) {
        long count = 0, sum = 0;
        while (true) {
            try (DocumentContext document = tailer.readingDocument()) {
                if (!document.isPresent()) {
                    return new long[] {count, sum};
                }
                Bytes<?> bytes = document.wire().bytes();
                count += bytes.readRemaining() == SIZE ? 1 : 0;
                sum += bytes.readLong();
            }
        }
    }

    static void check(long[] seen, Bytes<?>[] pool, int records) {
        long sum = 0;
        for (int i = 0; i < records; i++) {
            sum += pool[i % (POOL - 1)].readLong(0);
        }
        if (seen[0] != records || seen[1] != sum) {
            throw new IllegalStateException("read " + seen[0] + " of " + records);
        }
    }

    /** splitmix64 */
    static Bytes<?>[] pool() {
        long state = 0x9e3779b97f4a7c15L;
        Bytes<?>[] pool = new Bytes<?>[POOL];
        for (int i = 0; i < POOL; i++) {
            ByteBuffer value = ByteBuffer.allocate(104).order(ByteOrder.LITTLE_ENDIAN);
            while (value.position() < SIZE) {
                state += 0x9e3779b97f4a7c15L;
                long z = (state ^ (state >>> 30)) * 0xbf58476d1ce4e5b9L;
                z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
                value.putLong(z ^ (z >>> 31));
            }
            pool[i] = Bytes.allocateDirect(SIZE);
            pool[i].write(value.array(), 0, SIZE);
        }
        return pool;
    }

    /** Processor time of the process, in nanoseconds. */
    static long processor() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
                .getProcessCpuTime();
    }

    static void remove(Path dir) throws Exception {
        try (Stream<Path> files = Files.walk(dir)) {
            files.sorted(Comparator.reverseOrder()).map(Path::toFile).forEach(File::delete);
        }
    }
}
