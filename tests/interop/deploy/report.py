"""unittest results in the lines that tests/run reads: PASS, FAIL and SKIP with a name."""

import sys
import unittest


class _LineResult(unittest.TextTestResult):
    def _line(self, verdict, test, reason=""):
        print(verdict, test.id().removeprefix("__main__."), reason, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("PASS", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line("FAIL", test, str(err[1]).replace("\n", " | "))

    def addError(self, test, err):
        super().addError(test, err)
        self._line("FAIL", test, f"{err[0].__name__}: {err[1]}".replace("\n", " | "))

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line("SKIP", test, reason)


def main():
    program = unittest.main(
        exit=False, testRunner=unittest.TextTestRunner(
            sys.stderr, verbosity=0, resultclass=_LineResult))
    sys.exit(not program.result.wasSuccessful())
