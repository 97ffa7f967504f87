"""The report of a study: one web page, `front.json`, `front.csv`, and a table for the terminal."""

from launch.figures import with_name
from launch.report.front_file import Figures, Front, FrontMember, gone, gone_in_words, load_front
from launch.report.speed import speed_facts
from launch.report.terminal import front_table, ladder_table
from launch.report.words import design_in_words, outlook_in_words
from launch.report.write import ReportFiles, write_report

__all__ = [
    "Figures",
    "Front",
    "FrontMember",
    "ReportFiles",
    "design_in_words",
    "front_table",
    "gone",
    "gone_in_words",
    "ladder_table",
    "load_front",
    "outlook_in_words",
    "speed_facts",
    "with_name",
    "write_report",
]
