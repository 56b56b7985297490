/** The name of this machine's build: platform, processor, and on Linux the C library. */
export function platformName(): string {
  const { platform, arch } = process;
  return platform === "linux" ? `${platform}-${arch}-${isGlibc() ? "gnu" : "musl"}` : `${platform}-${arch}`;
}

function isGlibc(): boolean {
  const { report } = process as { report?: NodeJS.ProcessReport & { excludeNetwork?: boolean } };
  if (report === undefined) return true;
  // Or it would ask for the names of all hosts that the process talks to.
  const { excludeNetwork } = report;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  report.excludeNetwork = excludeNetwork;
  return header?.glibcVersionRuntime !== undefined;
}
