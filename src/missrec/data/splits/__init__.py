"""Which positions of the sequences are trained on, validated on and tested on."""

from missrec.data.splits.fewer_users import FewerUsers as FewerUsers
from missrec.data.splits.files import GivenFiles as GivenFiles
from missrec.data.splits.global_time import GlobalTime as GlobalTime
from missrec.data.splits.leave_one_out import LeaveOneOut as LeaveOneOut
from missrec.data.splits.nothing_held_out import NothingHeldOut as NothingHeldOut
from missrec.data.splits.ratio import Ratio as Ratio
from missrec.data.splits.splitter import AnySplitter as AnySplitter
from missrec.data.splits.splitter import KeyedSplitter as KeyedSplitter
from missrec.data.splits.splitter import Keys as Keys
from missrec.data.splits.splitter import Split as Split
from missrec.data.splits.splitter import SplitError as SplitError
from missrec.data.splits.splitter import Splitter as Splitter
from missrec.data.splits.splitter import seen_in_training as seen_in_training
from missrec.data.splits.splitter import with_keys as with_keys
from missrec.data.splits.users import ByUsers as ByUsers
