# SPDX-License-Identifier: Apache-2.0
"""OTB's log lines and progress on sys.stdout, so that Python programs and notebooks can redirect them."""

import sys

from otbApplication import _engine


class PythonPrintCallback:
    """Destination of log lines: subclass it, and pass an instance to PythonLogOutput.SetCallback."""

    def Call(self, content: str) -> None:
        """Write a piece of log."""
        sys.stdout.write(content)

    def Flush(self) -> None:
        """Flush what was written."""
        sys.stdout.flush()

    def IsInteractive(self) -> bool:
        """Return whether progress may be drawn in place."""
        return sys.stdout.isatty()


LIBRARY_LOG_OUTPUT = _engine.PythonLogOutput.New()
LIBRARY_PROGRESS = _engine.ProgressReporterManager.New()


def setup_logger(app) -> None:
    """Send the log and progress of an application to sys.stdout."""
    app.GetLogger().AddLogOutput(LIBRARY_LOG_OUTPUT)
    app.AddObserver(_engine.AddProcessToWatchEvent(), LIBRARY_PROGRESS.GetAddProcessCommand())


def create_application(name: str):
    """Create an application that logs to sys.stdout; None when there is no application of that name."""
    app = _engine.Registry.CreateApplicationWithoutLogger(name)
    if app is not None:
        app.SetupLogger()
        if app.IsDeprecated():
            app.GetLogger().Warning("This application is deprecated and will be removed in a future OTB release")
    return app


def extend(application, registry) -> None:
    """Give the classes their logging methods; redirect OTB's own logger unless OTB's program runs Python."""
    application.SetupLogger = setup_logger
    registry.CreateApplication = staticmethod(create_application)
    callback = PythonPrintCallback()
    LIBRARY_LOG_OUTPUT.SetCallback(callback)
    LIBRARY_PROGRESS.SetLogOutputCallback(callback)
    if not getattr(sys, "otb_embedded", False):
        logger = _engine.Logger.Instance()
        logger.ResetOutputs()
        logger.AddLogOutput(LIBRARY_LOG_OUTPUT)
