"""Runs every test file in a process forked from pytest-xdist's worker.

TensorFlow keeps compiled programs until a process ends, gigabytes over the whole suite. The worker
imports everything and runs nothing: forking it takes milliseconds, and the fork's end frees all
memory.
"""

import gc
import multiprocessing
import sys
import warnings

import pytest


class ForkedFiles:
    """A worker's plugin; its child runs the tests of one file and reports them itself."""

    def __init__(self):
        self.worker = self.pipe = self.child = None
        self.forked = False

    def pytest_collectreport(self, report):
        """A fork has no other threads, so TensorFlow's must not run yet."""
        context = sys.modules.get("tensorflow.python.eager.context")
        if context and context.context()._initialized:
            raise pytest.UsageError(f"{report.nodeid}: computes with TensorFlow while imported")

    def pytest_collection_finish(self, session):
        """All modules are imported."""
        plugins = session.config.pluginmanager.get_plugins()
        self.worker = next(p for p in plugins if type(p).__name__ == "WorkerInteractor")
        gc.collect()
        gc.freeze()  # so that children's garbage collections leave it shared

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item, nextitem):
        """Lets the child run the test; in the child, pytest runs it."""
        if self.forked:
            return None
        if self.child is None:
            self._fork(item.session)
        items = item.session.items
        stays = nextitem is not None and nextitem.path == item.path
        try:
            self.pipe.send((items.index(item), items.index(nextitem) if stays else None))
            self.pipe.recv()
        except (EOFError, ConnectionError):
            stays = False  # the file's next test has a new child
            self.child.join()
            said = f"the file's process ended with exit status {self.child.exitcode}"
            report = pytest.TestReport(item.nodeid, item.location, {}, "failed", said, "call")
            item.ihook.pytest_runtest_logreport(report=report)
        if not stays:
            self.child.join()
            self.pipe.close()
            self.child = None
        return True

    def _fork(self, session):
        process = multiprocessing.get_context("fork")
        self.pipe, theirs = process.Pipe()
        self.child = process.Process(target=self._serve, args=(session, self.pipe, theirs))
        with warnings.catch_warnings():  # threads: xdist's waits for messages, holds no lock
            warnings.simplefilter("ignore")
            self.child.start()
        theirs.close()

    def _serve(self, session, parents, pipe):
        parents.close()  # otherwise its end would go unnoticed
        self.forked, following = True, 0
        while following is not None:
            try:
                index, following = pipe.recv()
            except EOFError:  # the worker was stopped
                return
            nextitem = None if following is None else session.items[following]
            self.worker.item_index = index  # reports go through the worker's connection
            session.config.hook.pytest_runtest_protocol(
                item=session.items[index], nextitem=nextitem
            )
            pipe.send(None)
